"""From a solution to its exercise, and nothing of the solution left in it."""

from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.classroom import generator, notebook_file, regions
from helpers.errors import UserError
from tests.classroom.notebooks import good, notebook, write

CELL = '''def double(x):
    """Twice x."""
    # BEGIN SOLUTION double: return twice `x`
    secret = x + x
    return secret
    # END SOLUTION


answer = double(3)'''


def test_a_region_becomes_a_sentence_and_an_ellipsis() -> None:
    assert (
        regions.blank(CELL)
        == '''def double(x):
    """Twice x."""
    # YOUR CODE (double): return twice `x`
    ...


answer = double(3)'''
    )


def test_names_assigned_at_the_top_stay_defined() -> None:
    cell = "# BEGIN SOLUTION two: both\nfirst = 1\nsecond, third = 2, 3\nx = {'a': 1}['a']\nfirst = 4\n# END SOLUTION"
    assert regions.blank(cell) == "# YOUR CODE (two): both\nfirst = ...\nsecond = ...\nthird = ...\nx = ..."


def test_a_long_sentence_is_wrapped_into_comments() -> None:
    what = "say " * 40 + "it"
    blank = regions.blank(f"def f():\n    # BEGIN SOLUTION f: {what}\n    return 1\n    # END SOLUTION")
    assert all(len(line) <= 100 for line in blank.splitlines())
    compile(blank, "cell", "exec")


def test_the_solution_that_is_shown_is_the_region_itself() -> None:
    made = notebook(CELL, "# BEGIN SOLUTION other: x\ny = 1\n# END SOLUTION", CELL)
    assert regions.solution_of(made, "other") == "y = 1"
    assert regions.solution_of(made, "double") == "secret = x + x\nreturn secret\n\nsecret = x + x\nreturn secret"
    with pytest.raises(UserError, match="no region for the task 'third'"):
        regions.solution_of(made, "third")


@pytest.mark.parametrize(
    "cell",
    [
        "# BEGIN SOLUTION a: x\ny = 1",
        "y = 1\n# END SOLUTION",
        "# BEGIN SOLUTION a: x\n# BEGIN SOLUTION b: x\n# END SOLUTION",
        "# BEGIN SOLUTION\ny = 1\n# END SOLUTION",
        "# begin solution a: x\ny = 1\n# end solution",
        "#BEGIN SOLUTION a: x\ny = 1\n# END SOLUTION",
        "y = 1 # END SOLUTION",
    ],
)
def test_marks_that_do_not_fit_are_refused(cell: str) -> None:
    with pytest.raises(UserError):
        regions.blank(cell)


LINES = st.lists(st.sampled_from(["x = 1", "def f():", "    return 2", "", "# a comment", "y = [1,", "2]"]), max_size=6)


@given(LINES, LINES, LINES)
def test_what_is_given_stays_as_it_is(before: list[str], inside: list[str], after: list[str]) -> None:
    marked = [*before, "    # BEGIN SOLUTION t: do it", *(f"    {x}" for x in inside), "    # END SOLUTION", *after]
    blank = regions.blank("\n".join(marked)).splitlines()
    stub = ["    # YOUR CODE (t): do it", "    ..."]
    assert "\n".join(blank) == "\n".join([*before, *stub, *after]).rstrip("\n")


def test_build_makes_updates_and_removes(tmp_path: Path) -> None:
    solutions, exercises = tmp_path / "solutions", tmp_path / "exercises"
    write(solutions, good(CELL), "42_double.ipynb")
    assert generator.build(solutions, exercises, write=False) == ["42_double.ipynb: is new"]
    assert not exercises.exists()
    generator.build(solutions, exercises)
    exercise = notebook_file.read(exercises / "42_double.ipynb")
    assert "secret" not in str(exercise)
    assert exercise["metadata"]["servelab"] == {"exercise": "double"}
    assert generator.build(solutions, exercises) == []
    nbformat.validate(nbformat.read(exercises / "42_double.ipynb", as_version=4))

    write(solutions, good(CELL, "z = 1"), "42_double.ipynb")
    assert generator.build(solutions, exercises, write=False) == [
        "42_double.ipynb: differs from what its solution makes"
    ]
    (solutions / "42_double.ipynb").unlink()
    assert generator.build(solutions, exercises) == ["42_double.ipynb: no solution has this name"]
    assert list(exercises.iterdir()) == []


def test_a_broken_notebook_is_named(tmp_path: Path) -> None:
    for text in ("", "{}", '{"cells": 3}', "[]"):
        path = tmp_path / "42_broken.ipynb"
        path.write_text(text)
        with pytest.raises(UserError, match="is not a notebook"):
            notebook_file.read(path)
    with pytest.raises(UserError, match="There is no notebook"):
        notebook_file.read(tmp_path / "none.ipynb")


def test_a_notebook_is_written_as_jupyter_writes_it(tmp_path: Path) -> None:
    path = write(tmp_path, good(CELL, "md:Umlauts: äöü"))
    as_jupyter = nbformat.writes(nbformat.read(path, as_version=4)) + "\n"
    assert path.read_text("utf-8") == as_jupyter
