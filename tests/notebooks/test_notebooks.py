"""Every notebook of the course, found in its folder and run: a lesson is tested because it exists."""

from pathlib import Path
from typing import Any

import pytest

from helpers.classroom import outcome
from helpers.classroom.executor import Execution, execute
from helpers.classroom.lessons import all_lessons
from helpers.classroom.lint import lint
from helpers.classroom.outcome import MIME_TYPE
from helpers.classroom.output_lint import lint_outputs
from helpers.places import EXERCISES, LECTURES, ROOT, SOLUTIONS

# A notebook takes under a minute; on a busy machine that runs two at once it may take longer.
CELL_SECONDS, NOTEBOOK_SECONDS = 120, 240

LESSONS = {found.lecture.name: found for found in all_lessons()}
NOTEBOOKS = {folder: sorted(folder.glob("*.ipynb")) for folder in (LECTURES, SOLUTIONS, EXERCISES)}


def each(*folders: Path) -> Any:
    paths = [path for folder in folders for path in NOTEBOOKS[folder]]
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.relative_to(ROOT).as_posix())


def run(path: Path, record_property: Any) -> Execution:
    ran = execute(path, CELL_SECONDS, NOTEBOOK_SECONDS)
    part = "lecture" if path.parent == LECTURES else "exercise"
    record_property("notebook", path.relative_to(ROOT).as_posix())
    record_property("ran_seconds", ran.seconds)
    record_property("stated_minutes", LESSONS[path.name].minutes.get(part))
    assert ran.failure is None, str(ran.failure)
    return ran


def outcomes(ran: Execution) -> dict[str, str]:
    """What the checks in a notebook said, by task."""
    data = [o.get("data", {}) for cell in ran.notebook.cells for o in cell.get("outputs", [])]
    return {found[MIME_TYPE]["task"]: found[MIME_TYPE]["kind"] for found in data if MIME_TYPE in found}


@each(LECTURES, SOLUTIONS, EXERCISES)
def test_it_keeps_the_rules(path: Path) -> None:
    assert lint(path, is_solution=path.parent == SOLUTIONS) == []


@each(LECTURES)
def test_the_lecture_runs(path: Path, record_property: Any) -> None:
    assert lint_outputs(run(path, record_property).notebook) == []


@each(SOLUTIONS)
def test_the_solution_passes_every_check(path: Path, record_property: Any) -> None:
    ran = run(path, record_property)
    assert outcomes(ran) == dict.fromkeys(LESSONS[path.name].tasks, outcome.CORRECT)
    assert lint_outputs(ran.notebook) == []


@each(EXERCISES)
def test_the_blank_exercise_runs_and_nothing_is_attempted(path: Path, record_property: Any) -> None:
    ran = run(path, record_property)
    assert outcomes(ran) == dict.fromkeys(LESSONS[path.name].tasks, outcome.NOT_ATTEMPTED)
    assert lint_outputs(ran.notebook) == []


def test_every_part_has_its_counterparts() -> None:
    assert {path.name for path in NOTEBOOKS[SOLUTIONS]} == {path.name for path in NOTEBOOKS[EXERCISES]}
    assert {path.name for path in NOTEBOOKS[SOLUTIONS]} == {name for name, found in LESSONS.items() if found.tasks}
    assert NOTEBOOKS[LECTURES], "there is a course"
