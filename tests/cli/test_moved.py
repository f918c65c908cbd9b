"""An environment in another place: moved, copied, of other pins, of a Python that is gone; and who may change it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers import PROCESS_VARIABLE
from helpers.cli import environment as environment_module
from helpers.cli.environment import Environment, State
from tests.cli.tiny_course import PINS, Course

CHILD = {PROCESS_VARIABLE: "1"}  # this process's id is another

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the scripts that are run here are those of Unix")


@pytest.fixture
def course(ready_course: Course) -> Course:
    """A checkout with an environment, in which the packages of this one can be imported too."""
    (ready_course.environment.folder / "mark").touch()
    return ready_course


def is_the_same(course: Course) -> bool:
    """True if the environment was not made anew."""
    return (course.environment.folder / "mark").exists()


def says_where(course: Course, script: str) -> str:
    """What a script of the environment imports, run from another folder."""
    (course.environment.scripts / "where").write_text(
        (course.environment.scripts / script).read_text().split("import re")[0]
        + "import helpers, sys; print(helpers.__file__, sys.prefix)"
    )
    (course.environment.scripts / "where").chmod(0o755)
    command = [str(course.environment.scripts / "where")]
    return subprocess.run(command, cwd="/", env=course.variables, capture_output=True, text=True, check=True).stdout


# The last has a path that is too long for the first line of a script.
PLACES = [("moved", False), ("it's 100% & more", False), ("a course with spaces, copied", True), ("n" * 120, True)]


@pytest.mark.parametrize(("name", "copy"), PLACES)
def test_it_is_repaired_where_it_is(course: Course, name: str, copy: bool) -> None:
    before = str(course.root)
    course.move(name, copy)
    ran = course.run("store", "list")
    assert ran.returncode == 0 and "The store is empty" in ran.stdout, ran.stderr
    assert "repairing" in ran.stdout and "Making" not in ran.stdout
    assert is_the_same(course)
    assert course.environment.read_stamp().extras == ["course", "dev"]
    assert says_where(course, "servelab").strip() == f"{course.root}/helpers/__init__.py {course.environment.folder}"
    activated = subprocess.run(
        [
            "sh",
            "-c",
            '. "$0"; command -v servelab; python -c "import tiny_lesson"',
            course.environment.scripts / "activate",
        ],
        env=course.variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert activated.stdout.strip() == str(course.environment.scripts / "servelab")
    told = json.loads(next(course.environment.site_packages.glob("servelab*/direct_url.json")).read_text())
    assert told["url"] == course.root.as_uri()
    still = [path for path in course.environment.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    holding = {path.name for path in still if f"{before}/".encode() in path.read_bytes() and path.suffix != ".pyc"}
    assert holding <= {"setup.log"}
    again = course.run("store", "list")
    assert again.stdout.strip() == "The store is empty."
    if copy:
        course.root = Path(before)
        assert Environment(course.root).state() is State.WHOLE, "the original is as it was"


def test_an_interrupted_repair_is_finished_by_the_next(course: Course) -> None:
    """To a folder whose path contains the old one, so that replacing twice would show."""
    inside = course.root / "deeper"
    course.root.rename(course.root.with_name("aside"))
    inside.parent.mkdir()
    course.root.with_name("aside").rename(inside)
    stamp = Environment(inside).read_stamp()
    course.root, course.environment = inside, Environment(inside)
    assert course.run("store", "list").returncode == 0
    course.environment.stamp_file.write_text(json.dumps(vars(stamp)))  # killed before its last step
    assert course.environment.state() is State.MOVED
    assert "repairing" in course.run("store", "list").stdout
    assert says_where(course, "servelab").startswith(f"{inside}/helpers/__init__.py")


def test_a_repair_needs_no_index_and_keeps_what_it_finds(course: Course) -> None:
    course.move("moved")
    shutil.rmtree(course.wheels)
    assert course.run("setup").returncode == 0
    assert is_the_same(course) and course.has("tiny_test") == "1.0"


def test_more_packages_are_added_to_a_moved_one(course: Course) -> None:
    course.move("moved")
    ran = course.run("score", "nothing", "no.csv", "--into", "out")
    assert course.has("tiny_table") == "1.0", ran.stdout + ran.stderr
    assert is_the_same(course) and course.environment.read_stamp().extras == ["batch", "course", "dev"]


# A child process: what it is to run in, what it runs, and what it says.
COMMANDS_OF_CHILDREN = {
    "ready": (["store", "list"], 0, "The store is empty"),
    "moved": (["store", "list"], 0, "The store is empty"),
    "of other pins": (["store", "list"], 0, "The store is empty"),
    "ready, without the extra": (["score", "x", "y.csv", "--into", "z"], 1, "python3 -m helpers setup --extra batch"),
    "moved, without the extra": (["score", "x", "y.csv", "--into", "z"], 1, "python3 -m helpers setup --extra batch"),
    "unfinished": (["store", "list"], 1, "python3 -m helpers setup"),
    "absent": (["store", "list"], 1, "python3 -m helpers setup"),
    "of a Python that is gone": (["store", "list"], 1, "python3 -m helpers setup"),
    "not ours": (["store", "list"], 1, "was not made by this command"),
}


def everything_in(folder: Path) -> dict[str, object]:
    files = {path: path.lstat() for path in folder.rglob("*") if "__pycache__" not in path.parts}
    return {str(path): (stat.st_mode, stat.st_size) for path, stat in files.items() if not path.is_dir()}


@pytest.mark.parametrize("situation", COMMANDS_OF_CHILDREN)
def test_a_child_process_changes_nothing(course: Course, situation: str) -> None:
    arguments, code, said = COMMANDS_OF_CHILDREN[situation]
    put_into(course, situation.partition(",")[0])
    before = everything_in(course.root)
    ran = course.run(*arguments, **CHILD)
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert said in ran.stdout + ran.stderr and "Traceback" not in ran.stderr
    assert ran.stderr.count("\n") == (2 if code else 0)
    assert everything_in(course.root) == before


def put_into(course: Course, situation: str) -> None:
    environment = course.environment
    if situation == "moved":
        course.move("moved")
    elif situation == "of other pins":
        (course.root / "constraints.txt").write_text(PINS.format("2.0"))
    elif situation == "unfinished":
        environment.write_stamp("installing", ["course"])
    elif situation == "absent":
        shutil.rmtree(environment.folder)
    elif situation == "of a Python that is gone":
        environment.python.unlink()
        environment.python.symlink_to("/nonexistent/python3")
    elif situation == "not ours":
        environment.stamp_file.unlink()


def test_a_program_that_uses_this_package_makes_its_commands_children(course: Course) -> None:
    """A notebook's kernel, say: it imports helpers, and starts a server."""
    program = (
        "import helpers, subprocess, sys; sys.exit(subprocess.call([sys.executable, '-m', 'helpers', *sys.argv[1:]]))"
    )
    command = [str(course.environment.python), "-c", program, "score", "x", "y.csv", "--into", "z"]
    ran = subprocess.run(command, cwd=course.root, env=course.variables, capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "not installed: tiny-table" in ran.stderr
    assert course.has("tiny_table") == ""


def test_other_pins_do_not_stop_a_command_and_only_setup_updates(course: Course) -> None:
    (course.root / "constraints.txt").write_text(PINS.format("2.0"))
    ran = course.run("store", "list")
    assert ran.returncode == 0 and ran.stdout.strip() == "The store is empty."
    assert ran.stderr.count("\n") == 1 and ran.stderr.strip().endswith("To update it: python3 -m helpers setup")
    assert (course.has("tiny_lesson"), course.has("tiny_test")) == ("1.0", "1.0")
    refused = course.run("score", "x", "y.csv", "--into", "z")
    assert refused.returncode == 1 and "setup --extra batch" in refused.stderr
    assert (course.has("tiny_lesson"), course.has("tiny_table")) == ("1.0", ""), "nothing was replaced or added"
    assert course.run("setup").returncode == 0
    assert (course.has("tiny_lesson"), course.has("tiny_test")) == ("2.0", "2.0"), "what was added is kept up to date"
    assert is_the_same(course)
    assert course.run("store", "list").stderr == ""


@pytest.mark.parametrize("gone", ["its link leads nowhere", "its folder is gone"])
@pytest.mark.parametrize("moved", [False, True], ids=["here", "moved"])
def test_another_python_of_the_same_version_takes_the_place_of_one_that_is_gone(
    course: Course, gone: str, moved: bool
) -> None:
    for path in course.environment.scripts.glob("python*"):
        path.unlink()
        path.symlink_to("/nonexistent/python3")
    if gone == "its folder is gone":
        (course.environment.folder / "pyvenv.cfg").write_text("home = /nonexistent\n")
    if moved:
        course.move("moved")
    shutil.rmtree(course.wheels)  # nothing is installed
    ran = course.run("store", "list")
    assert ran.returncode == 0, ran.stderr
    assert is_the_same(course) and course.has("tiny_test") == "1.0"
    assert says_where(course, "servelab").startswith(f"{course.root}/helpers/")


def make_unrunnable(course: Course, other: str) -> None:
    environment = course.environment
    if other == "another version of Python":
        environment.site_packages.parent.rename(environment.folder / "lib" / "python3.9")
        environment.python.unlink()
    else:
        stamp = json.loads(environment.stamp_file.read_text()) | {"platform": "amiga-m68k"}
        environment.stamp_file.write_text(json.dumps(stamp))


@pytest.mark.parametrize("other", ["another version of Python", "another kind of machine"])
def test_what_cannot_run_here_is_left_to_setup(course: Course, other: str) -> None:
    make_unrunnable(course, other)
    assert course.environment.state() is State.BROKEN
    refused = course.run("store", "list")
    assert (
        refused.returncode == 1 and "python3 -m helpers setup" in refused.stderr and "Traceback" not in refused.stderr
    )
    assert is_the_same(course)


def test_what_cannot_run_here_stays_until_another_is_ready(course: Course) -> None:
    make_unrunnable(course, "another version of Python")
    failed = course.run("setup", PIP_FIND_LINKS="")  # a new one is begun beside it, and cannot be finished
    assert failed.returncode == 1 and is_the_same(course)
    ran = course.run("setup")
    assert ran.returncode == 0, ran.stderr
    assert not is_the_same(course)
    assert course.has("tiny_test") == "1.0", "the extras are kept"
    assert says_where(course, "servelab").strip() == f"{course.root}/helpers/__init__.py {course.environment.folder}"
    assert {path.name for path in course.root.glob(".venv*")} == {".venv", ".venv.lock"}
    assert course.run("store", "list").stdout.strip() == "The store is empty."


@pytest.mark.parametrize("killed", ["before the old one is put aside", "before the new one is in its place"])
def test_a_run_that_was_killed_while_it_swapped_is_finished_by_the_next(course: Course, killed: str) -> None:
    """The new one is ready, in a folder beside, and its scripts refer to that folder."""
    new = Environment(course.root, ".venv-new")
    shutil.copytree(course.environment.folder, new.folder, symlinks=True)
    (new.folder / "mark").unlink()
    new.write_stamp("ready", ["course", "dev"])
    for script in new.scripts.iterdir():
        if script.is_file() and not script.is_symlink():
            script.write_bytes(script.read_bytes().replace(b"/.venv/", b"/.venv-new/"))
    if killed == "before the old one is put aside":
        make_unrunnable(course, "another kind of machine")
    else:
        course.environment.folder.rename(course.root / ".venv-old")
    shutil.rmtree(course.wheels)  # nothing is installed
    ran = course.run("setup")
    assert ran.returncode == 0, ran.stderr
    assert says_where(course, "servelab").strip() == f"{course.root}/helpers/__init__.py {course.environment.folder}"
    assert {path.name for path in course.root.glob(".venv*")} == {".venv", ".venv.lock"}
    assert not is_the_same(course) and course.has("tiny_test") == "1.0"


def test_an_older_stamp_is_understood(course: Course) -> None:
    stamp = json.loads(course.environment.stamp_file.read_text())
    del stamp["folder"], stamp["platform"]
    course.environment.stamp_file.write_text(json.dumps(stamp))
    assert course.environment.state() is State.WHOLE
    course.move("moved")
    assert course.environment.state() is State.MOVED
    assert course.run("store", "list").returncode == 0
    assert says_where(course, "servelab").startswith(f"{course.root}/helpers/")


def test_a_folder_that_cannot_be_repaired_is_a_sentence(course: Course) -> None:
    course.move("moved")
    (course.root / ".venv.lock").unlink()
    (course.root / ".venv.lock").mkdir()  # stands in the way whoever runs the tests, root included
    ran = course.run("store", "list")
    assert ran.returncode == 1 and "cannot be written to" in ran.stderr and "Traceback" not in ran.stderr
    assert is_the_same(course)


def test_a_child_is_told_by_the_process_that_marked_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROCESS_VARIABLE, str(os.getpid()))
    assert not environment_module.is_child()
    monkeypatch.setenv(PROCESS_VARIABLE, str(os.getppid()))
    assert environment_module.is_child()
    monkeypatch.delenv(PROCESS_VARIABLE)
    assert not environment_module.is_child()
