"""Which interpreter a command runs in: ours, one that has the course from elsewhere, or one to be made."""

import importlib.metadata
import sys
from pathlib import Path

import pytest

from helpers import cli
from helpers.cli import environment, installer
from helpers.cli.environment import Environment, is_provided


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """A checkout without an environment, and a way to see what would be done about it."""
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\nname = 'servelab'\n[project.optional-dependencies]\ncourse = []\n")
    (root / "constraints.txt").write_text("")
    made = Environment(root)
    monkeypatch.setattr(environment, "Environment", lambda: made)
    return made


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    monkeypatch.setattr(installer, "install", lambda environment, extras: done.append(f"install {','.join(extras)}"))
    monkeypatch.setattr(cli, "continue_as", lambda command: done.append(f"run {command[0]}") or 7)
    return done


def test_this_environment_has_the_course_wherever_it_came_from() -> None:
    assert is_provided(["course", "dev"])


def test_a_missing_package_or_an_uninstalled_course_is_not_provided(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["numpy", "no-such-package; extra == 'course'", "no-such-either; sys_platform == 'moon'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needs)
    assert is_provided([])
    assert not is_provided(["course"])
    monkeypatch.undo()
    monkeypatch.setattr(environment, "DISTRIBUTION", "no-such-course")
    assert not is_provided([])


def test_an_active_conda_environment_is_used_as_it_is(elsewhere: Environment, done: list[str]) -> None:
    assert cli.enter_environment(["course"], ["lab"]) is None
    assert done == []


def test_without_one_it_is_made_and_entered(
    elsewhere: Environment, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "is_provided", lambda extras: False)
    assert cli.enter_environment(["course"], ["lab"]) == 7
    assert done == ["install course", f"run {elsewhere.python}"]


def test_a_ready_one_is_entered_or_simply_used(
    elsewhere: Environment, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.python.parent.mkdir(parents=True)
    elsewhere.python.symlink_to(sys.executable)
    elsewhere.write_stamp("ready", ["course"])
    assert cli.enter_environment(["course"], ["lab"]) == 7
    assert done == [f"run {elsewhere.python}"]
    monkeypatch.setattr(sys, "prefix", str(elsewhere.folder))
    assert cli.enter_environment(["course"], ["lab"]) is None


def test_more_is_installed_into_the_running_environment(
    elsewhere: Environment, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.folder.mkdir()
    elsewhere.write_stamp("ready", ["course"])
    monkeypatch.setattr(sys, "prefix", str(elsewhere.folder))
    assert cli.enter_environment(["course", "dev"], ["test"]) is None
    assert done == ["install course,dev"]


def test_an_extra_is_ready_where_all_that_it_names_is(tmp_path: Path) -> None:
    """So `score` installs nothing beside the course, and does not keep others waiting meanwhile."""
    (tmp_path / "constraints.txt").touch()
    (tmp_path / "pyproject.toml").write_text(
        "[project]\nname = 'servelab'\n[project.optional-dependencies]\n"
        "course = ['a', 'b', 'c']\nsome = ['b', 'c']\nmore = ['c', 'd']\nnone = []\n"
    )
    environment = Environment(tmp_path)
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    environment.write_stamp("ready", ["course"])
    ready = {name for name in ("course", "some", "more", "none", "unknown") if environment.is_ready([name])}
    assert ready == {"course", "some", "none"}
    assert not environment.is_ready(["some", "more"])
