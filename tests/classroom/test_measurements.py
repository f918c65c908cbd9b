"""What a learner measured, kept between lessons."""

import multiprocessing
from pathlib import Path

from helpers.classroom import recall, remember


def test_figures_are_kept_by_lesson_and_replaced_by_name(home: Path) -> None:
    assert recall("03") == {}
    remember("03", digits_us=35.0, sweep={"1": 2.0, "8": 9.0})
    remember("03", digits_us=36.0)
    remember("05", bytes=7.0)
    assert recall("03") == {"digits_us": 36.0, "sweep": {"1": 2.0, "8": 9.0}}
    assert recall("05") == {"bytes": 7.0}


def test_a_record_that_cannot_be_read_begins_anew(home: Path) -> None:
    remember("03", a=1.0)
    for damaged in ("{", "[]", '{"03": 7}', "\x00"):
        (home / "measurements.json").write_text(damaged, "utf-8")
        assert recall("03") == {}
        remember("03", b=2.0)
        assert recall("03") == {"b": 2.0}


def _note(number: int) -> None:
    remember(f"{number:02}", figure=float(number))


def test_notebooks_that_write_at_once_lose_nothing(home: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(_note, range(20))
    assert [recall(f"{number:02}") for number in range(20)] == [{"figure": float(number)} for number in range(20)]
