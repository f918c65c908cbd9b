"""Tags: what is one, what is none, and that none leads out of the store."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import UserError
from helpers.store import Store
from helpers.store.tags import PART, Tag, check_alias, check_version_name, parse_tag


def test_a_tag_is_a_name_and_a_version() -> None:
    assert parse_tag("digits") == Tag("digits", "latest")
    assert parse_tag("digits:3") == Tag("digits", "3")
    assert str(parse_tag("my-net_2.1:prod")) == "my-net_2.1:prod"


@given(st.from_regex(PART, fullmatch=True), st.from_regex(PART, fullmatch=True))
def test_what_reads_as_a_tag_names_one_folder(name: str, version: str) -> None:
    try:
        tag = parse_tag(f"{name}:{version}")
    except UserError:
        return  # two dots in a row, or a device of Windows
    path = Path("/store") / tag.name / tag.version
    assert path.parts == ("/", "store", name, version) and path.resolve() == path


@given(st.text(max_size=100))
def test_any_text_is_a_tag_or_refused_and_never_leads_out(text: str) -> None:
    try:
        tag = parse_tag(text)
    except UserError as refused:
        assert refused.exit_code == 2
        return
    assert not {"/", "\\", "\x00"} & set(str(tag)) and ".." not in str(tag)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":1",
        "a:",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "/etc",
        "C:\\x",
        "a:../b",
        "a:b:c",
        ".hidden",
        "a.",
        "-a",
        "Digits",
        "con",
        "nul.onnx",
        "com1",
        "a" * 65,
        "a\n",
        "a b",
        "é",
        "a:.aliases",
        "~",
        "a\x00b",
        "%2e%2e",
    ],
)
def test_what_is_no_tag(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no (name|version) for a model"):
        parse_tag(text)
    store = Store(tmp_path / "store")
    for act in (store.get, store.load, store.remove, lambda tag: store.alias(tag, "prod"), store.remove_alias):
        with pytest.raises(UserError):
            act(text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["latest", "007", "00", "a/b", ""])
def test_names_that_a_version_cannot_have(text: str) -> None:
    with pytest.raises(UserError):
        check_version_name(text)


@pytest.mark.parametrize("text", ["latest", "7", "a/b", "", ".."])
def test_names_that_an_alias_cannot_have(text: str) -> None:
    with pytest.raises(UserError):
        check_alias(text)
