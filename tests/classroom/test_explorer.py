"""The slider, and what stands in its place where nobody can move it."""

import pytest

from helpers.classroom import Explorer, Table


def tables() -> dict[str, Table]:
    return {str(count): Table(["threads"], [[count]], f"with {count}") for count in (1, 2, 4)}


def test_the_slider_shows_what_is_chosen() -> None:
    explorer = Explorer("threads", tables())
    slider, shown = explorer.widget().children
    assert slider.options == ("1", "2", "4") and slider.description == "threads"
    assert "with 1" in shown.value
    slider.value = "4"
    assert "with 4" in shown.value and "with 1" not in shown.value
    assert 'aria-live="polite"' in shown.value, "a change is read aloud"


def test_on_paper_everything_is_shown_in_order() -> None:
    bundle = Explorer("threads", tables())._repr_mimebundle_()
    assert [bundle["text/html"].index(f"with {count}") for count in (1, 2, 4)] == sorted(
        bundle["text/html"].index(f"with {count}") for count in (1, 2, 4)
    )
    assert "threads: 4" in bundle["text/plain"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"]


def test_an_overview_stands_for_all() -> None:
    explorer = Explorer("threads", tables(), overview=Table(["a"], [["all in one"]]))
    assert "all in one" in explorer.on_paper() and "with 1" not in explorer.on_paper()
    assert "all in one" in repr(explorer)


def test_text_is_escaped_and_numbers_may_be_choices() -> None:
    explorer = Explorer("a<b", {1: "x<y"})  # type: ignore[dict-item]
    assert "x&lt;y" in explorer.on_paper() and "a&lt;b: 1" in explorer.on_paper()


def test_there_must_be_a_choice() -> None:
    with pytest.raises(ValueError, match="at least one choice"):
        Explorer("threads", {})
