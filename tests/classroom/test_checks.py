"""Every check of every lesson: refuses what is wrong, for the right reason, without giving the answer away."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from helpers.classroom import notebook_file, outcome, regions
from helpers.classroom.lessons import LessonFiles, all_lessons
from helpers.classroom.tutor import examine

WITH_TASKS = [found for found in all_lessons() if found.tasks]
TASKS = [pytest.param(found, name, id=f"{found.number}-{name}") for found in WITH_TASKS for name in found.tasks]


def mistakes_of(found: LessonFiles) -> dict[str, dict[Any, str]]:
    return importlib.import_module(f"tests.mistakes.lesson_{found.number}").MISTAKES


def all_mistakes() -> Iterator[Any]:
    for found in WITH_TASKS:
        for name, mistakes in mistakes_of(found).items():
            for mistake, seen in mistakes.items():
                yield pytest.param(found, name, mistake, seen, id=f"{found.number}-{name}-{label_of(mistake)}")


def label_of(mistake: Any) -> str:
    """The same in every process: parallel workers must agree on the tests' names."""
    if isinstance(mistake, frozenset | set):
        return "{" + ", ".join(sorted(map(repr, mistake))) + "}"
    return getattr(mistake, "__name__", re.sub(r" at 0x\w+", "", repr(mistake)))


@pytest.mark.parametrize("found", WITH_TASKS, ids=lambda found: found.number)
def test_every_task_has_its_mistakes(found: LessonFiles) -> None:
    mistakes = mistakes_of(found)
    assert mistakes.keys() == found.tasks.keys()
    assert all(len(of_task) >= 3 for of_task in mistakes.values())


@pytest.mark.parametrize(("found", "name", "mistake", "seen"), list(all_mistakes()))
def test_a_mistake_is_refused_for_the_right_reason(found: LessonFiles, name: str, mistake: Any, seen: str) -> None:
    told = examine(found.number, found.tasks[name], mistake, seed=3)
    assert told.kind == outcome.NOT_YET, told
    assert seen in str(told), told
    solution = regions.solution_of(notebook_file.read(found.solution), name)
    for line in (line.strip() for line in solution.splitlines()):
        assert len(line) < 12 or line not in str(told), "a failure never shows the answer"


def raises(*arguments: object, **named: object) -> None:
    raise LookupError("the learner's own mistake")


class RaisesWhenMade:
    def __init__(self, *arguments: object) -> None:
        raise LookupError("the learner's own mistake")


@pytest.mark.parametrize(("found", "name"), TASKS)
def test_junk_is_refused_and_never_a_traceback(found: LessonFiles, name: str) -> None:
    for junk in (None, 3, "x", [], {}, object(), print, int, lambda: 1, lambda *arguments: None, lambda *a: "x"):
        told = examine(found.number, found.tasks[name], junk, seed=1)
        assert told.kind in (outcome.NOT_YET, outcome.RAISED), (junk, told)
    assert examine(found.number, found.tasks[name], ..., seed=1).kind == outcome.NOT_ATTEMPTED
    told = examine(found.number, found.tasks[name], raises, seed=1)
    assert told.kind in (outcome.RAISED, outcome.NOT_YET)
    if told.kind == outcome.RAISED:
        assert "LookupError: the learner's own mistake" in str(told)
        assert 'raise LookupError("the learner\'s own mistake")' in str(told)
