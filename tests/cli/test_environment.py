"""Which interpreter a command runs in: ours, one that has the course from elsewhere, or one to be made."""

import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

from helpers import PROCESS_VARIABLE, cli
from helpers.cli import environment, installer, requirements
from helpers.cli.environment import Environment
from helpers.cli.requirements import is_provided


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
    monkeypatch.setattr(
        installer, "install", lambda environment, extras, say: done.append(f"install {','.join(extras)}")
    )
    monkeypatch.setattr(cli, "continue_as", lambda command, variables: done.append(f"run {command[0]}") or 7)
    monkeypatch.setenv(PROCESS_VARIABLE, str(os.getpid()))  # typed by a person, though pytest may be a child
    return done


def test_this_environment_has_the_course_wherever_it_came_from() -> None:
    assert is_provided(["course", "dev"])


def test_a_missing_package_or_an_uninstalled_course_is_not_provided(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["numpy", "no-such-package; extra == 'course'", "no-such-either; sys_platform == 'moon'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needs)
    assert is_provided([])
    assert not is_provided(["course"])
    monkeypatch.undo()
    monkeypatch.setattr(requirements, "DISTRIBUTION", "no-such-course")
    assert not is_provided([])


def test_an_active_conda_environment_is_used_as_it_is(elsewhere: Environment, done: list[str]) -> None:
    assert cli.enter_environment(["course"], ["lab"]) is None
    assert done == []


def test_without_one_it_is_made_and_entered(
    elsewhere: Environment, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "is_provided", lambda extras: False)
    assert cli.enter_environment(["course"], ["lab"]) == 7
    assert done == ["install course", f"run {elsewhere.python}"]


def test_a_ready_one_is_entered_or_simply_used(
    elsewhere: Environment, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_of(elsewhere)
    assert cli.enter_environment(["course"], ["lab"]) == 7
    assert done == [f"run {elsewhere.python}"]
    monkeypatch.setattr(sys, "prefix", str(elsewhere.folder))
    assert cli.enter_environment(["course"], ["lab"]) is None


def test_more_is_installed_into_the_running_environment(
    elsewhere: Environment, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_of(elsewhere)
    monkeypatch.setattr(sys, "prefix", str(elsewhere.folder))
    assert cli.enter_environment(["course", "dev"], ["test"]) is None
    assert done == ["install course,dev"]


def made_of(environment: Environment, *packages: str) -> None:
    """A finished environment for ``course``, as far as can be seen from outside."""
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    (environment.folder / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix)}\n")
    for name in packages:
        (environment.site_packages / f"{name}-1.0.dist-info").mkdir(parents=True)
    environment.write_stamp("ready", ["course"])


def test_an_environment_that_a_person_made_is_used_when_it_is_active(
    elsewhere: Environment, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By python -m venv .venv and pip: it holds the course, and no stamp of ours."""
    made_of(elsewhere)
    elsewhere.stamp_file.unlink()
    monkeypatch.setattr(sys, "prefix", str(elsewhere.folder))
    assert cli.enter_environment(["course"], ["lab"]) is None
    assert done == []


def test_an_extra_is_ready_where_all_that_it_names_is(tmp_path: Path) -> None:
    """So `score` installs nothing beside the course, and does not keep others waiting meanwhile."""
    (tmp_path / "constraints.txt").touch()
    (tmp_path / "pyproject.toml").write_text(
        "[project]\nname = 'servelab'\n[project.optional-dependencies]\n"
        "course = ['a', 'b_b', 'c']\nsome = ['B.b', 'c']\nmore = ['c', 'd']\nnone = []\n"
        "elsewhere = ['c', 'd; sys_platform == \"moon\"']\n"
    )
    environment = Environment(tmp_path)
    made_of(environment, "a", "b_b", "c")
    ready = {name for name in ("course", "some", "more", "none", "elsewhere", "moon") if environment.is_ready([name])}
    assert ready == {"course", "some", "none", "elsewhere"}
    assert not environment.is_ready(["some", "more"])
