"""``lesson("01")`` from the learner's side: staged hints, the real solution, helpful mistakes."""

import os
import urllib.request
from pathlib import Path

import pytest

from helpers.classroom import lesson, lessons
from helpers.classroom.progress import Progress
from helpers.classroom.tutor import _hints
from helpers.errors import UserError
from helpers.places import SOLUTIONS
from tests.classroom.notebooks import good, write


@pytest.fixture(autouse=True)
def fresh(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _hints.clear()


def test_a_lesson_goes_by_number_and_name() -> None:
    assert lesson("01").files == lesson("1").files == lesson("export").files
    assert "dynamic_batch" in repr(lesson("01"))


def test_an_unknown_lesson_or_task_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"choose from: .*01 \(export\)"):
        lesson("moon")
    for call in (lesson("01").hint, lesson("01").solution, lambda name: lesson("01").check(name, 1)):
        with pytest.raises(UserError, match=r"no task 'moon'.*\n.*dynamic_batch"):
            call("moon")


def test_each_hint_says_more_and_the_last_stays() -> None:
    said = [str(lesson("01").hint("mend")) for _ in range(5)]
    assert "hint 1 of 3 (ask again for more)" in said[0]
    assert "hint 3 of 3 (that was the last)" in said[2]
    assert said[2] == said[3] == said[4] and len(set(said)) == 3
    assert Progress().of("export")["mend"]["hints"] == 5


def test_the_solution_shown_is_the_code_that_is_executed() -> None:
    shown = lesson("01").solution("one_file")
    assert shown.code == "onnx.save(onnx.load(source), target)"
    assert shown.code in (SOLUTIONS / "01_export.ipynb").read_text("utf-8")
    assert Progress().of("export")["one_file"]["solution_seen"] is True


def test_a_new_lesson_exists_because_its_files_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "LECTURES", tmp_path)
    monkeypatch.setattr(lessons, "SOLUTIONS", tmp_path / "solutions")
    write(tmp_path, good(), "42_made.ipynb")
    write(tmp_path, good(), "notes.ipynb")
    (found,) = lessons.all_lessons()
    assert (found.number, found.name, found.title, found.minutes) == ("42", "made", "A lesson", {"lecture": 25})
    assert found.tasks == {}, "a lecture may come without an exercise"


@pytest.mark.parametrize("found", lessons.all_lessons(), ids=lambda found: found.number)
def test_every_lesson_is_complete(found: lessons.LessonFiles) -> None:
    assert found.minutes["lecture"] <= 30
    if found.tasks:
        assert found.solution.exists() and found.exercise.exists()
        assert 3 <= len(found.tasks) <= 6
        assert found.minutes["exercise"] <= 30
        for task in found.tasks.values():
            assert len(task.hints) >= 2 and task.learned.endswith(".")
            assert lesson(found.number).solution(task.name).code


def test_servers_of_this_machine_are_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    from helpers import classroom

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("no_proxy", "")
    classroom.ready()
    assert urllib.request.proxy_bypass("127.0.0.1") and os.environ["NO_PROXY"].startswith("example.org,")
