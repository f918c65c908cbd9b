"""Each command as the first one in a fresh clone, by a Python that has nothing installed."""

import importlib
import re
import shutil
import socket
from pathlib import Path

import pytest

from helpers.cli import COMMANDS
from helpers.cli.pip_install import pip_command
from helpers.places import ROOT
from tests.cli.tiny_course import Course

# By command: what is typed, and what it says: an answer, or a sentence about what was typed. The tiny
# course has no lessons.
TYPED = {
    "setup": ("setup", 0, "The environment is ready"),
    "lab": ("lab --no-browser --port {taken}", 1, "Port {taken} is taken"),
    "test": ("test --version", 0, "pytest"),
    "doctor": ("doctor", 1, "See the remedies above"),
    "start": ("start 01", 2, "There is no lesson '01'"),
    "status": ("status", 0, "This record is yours"),
    "build": ("build --check", 0, "Nothing to do"),
    "store": ("store list", 0, "The store is empty."),
    "serve": ("serve digits", 2, "There is no model called 'digits'"),
    "bundle": ("bundle digits", 2, "There is no model called 'digits'"),
    "image": ("image run digits:1", 2, "There is no image 'digits:1'"),
    "target": ("target lambda nothing", 2, "nothing is no bundle"),
    "score": ("score digits no.csv --into out", 2, "no.csv cannot be read"),
    "package": ("package nothing", 2, "nothing is no bundle"),
    "bench": ("bench soak --minutes 0", 2, "0 seconds cannot be measured"),
}
# Those of one group need the same packages: one of each is really run from a fresh clone.
REALLY_RUN = ["setup", "lab", "test", "score", "store"]
BARE = ["doctor", "start", "status", "build"]


def extras_of(name: str) -> list[str] | None:
    extras: list[str] | None = getattr(importlib.import_module(f"helpers.cli.{name}"), "EXTRAS", None)
    return extras


def test_every_command_is_in_the_table() -> None:
    assert TYPED.keys() == {*COMMANDS}
    groups = {name: extras_of(name) for name in COMMANDS}
    assert {name for name, extras in groups.items() if extras is None} == {"setup", *BARE}
    run = [groups[name] for name in REALLY_RUN]
    assert all(extras in run for extras in groups.values() if extras is not None and extras != ["course"])


@pytest.mark.parametrize("name", [name for name in COMMANDS if extras_of(name) is not None])
def test_pip_is_given_a_project_that_it_accepts(name: str) -> None:
    """``.[]`` is refused by every pip."""
    extras = extras_of(name)
    assert extras is not None
    command = pip_command(Path("python"), set(extras))
    assert command[-2] == "--editable" and re.fullmatch(r"\.(\[\w+(,\w+)*\])?", command[-1])
    assert {*re.findall(r"\w+", command[-1])} == {*extras}


def typed(course: Course, name: str) -> None:
    line, code, said = TYPED[name]
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = str(server.getsockname()[1])
        ran = course.run(*line.format(taken=taken).split())
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert said.format(taken=taken) in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr and len(ran.stderr.splitlines()) <= 2


@pytest.mark.parametrize("name", REALLY_RUN)
def test_the_first_command_makes_what_it_needs(tmp_path: Path, name: str) -> None:
    course = Course(tmp_path)
    typed(course, name)
    stamp = course.environment.read_stamp()
    assert stamp is not None and stamp.extras == sorted(extras_of(name) or (["course"] if name == "setup" else []))


@pytest.mark.parametrize("name", BARE)
def test_what_needs_no_packages_makes_nothing(tmp_path: Path, name: str) -> None:
    course = Course(tmp_path)
    shutil.copy(ROOT / "constraints.txt", course.root)  # the doctor compares packages with their pins
    typed(course, name)
    assert not course.environment.folder.exists()


@pytest.mark.parametrize("name", sorted({*COMMANDS} - {"doctor"}))  # whose findings are of the real course
def test_each_runs_in_the_environment_that_another_has_made(ready_course: Course, name: str) -> None:
    typed(ready_course, name)
