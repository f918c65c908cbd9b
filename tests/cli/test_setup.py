"""Making the environment: real venvs and real pip, on a project small enough for it."""

import json
import os
import shutil
import signal
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.cli import environment as environment_module
from helpers.cli import installer, pip_install
from helpers.cli.environment import Environment, State
from helpers.errors import UserError
from tests.cli.tiny_course import PINS, Course


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path)


@pytest.fixture
def pause(tmp_path: Path) -> Iterator[Path]:
    """Two pipes by which an installation is stopped in the middle, and let go."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes on this system")
    for name in ("pause.here", "pause.go"):
        os.mkfifo(tmp_path / name)
    yield tmp_path / "pause"


def test_setup_makes_the_environment_and_then_has_nothing_to_do(course: Course) -> None:
    first = course.run("setup")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Making the environment" in first.stdout
    assert course.has("tiny_lesson") == "1.0"
    assert course.has("tiny_test") == ""
    stamp = course.environment.stamp_file.stat().st_mtime_ns

    # With no pip to be found and no interpreter to make a venv with, only "nothing to do" can succeed.
    shutil.rmtree(course.wheels)
    second = course.run("setup")
    assert second.returncode == 0
    assert second.stdout.strip() == f"The environment is ready: {course.environment.folder}"
    assert course.environment.stamp_file.stat().st_mtime_ns == stamp


def test_more_packages_are_added_to_what_is_there(course: Course) -> None:
    course.run("setup")
    mark = course.environment.folder / "untouched"
    mark.touch()
    assert course.run("setup", "--extra", "dev").returncode == 0
    assert course.has("tiny_test") == "1.0"
    assert course.run("setup").stdout.startswith("The environment is ready"), "fewer packages are no reason to work"

    (course.root / "constraints.txt").write_text(PINS.format("2.0"))
    assert course.run("setup").returncode == 0
    assert (course.has("tiny_lesson"), course.has("tiny_test")) == ("2.0", "2.0"), "what was added is kept up to date"
    assert mark.exists(), "changed pins do not throw the environment away"


def test_a_killed_run_is_healed_by_the_next(course: Course, pause: Path) -> None:
    running = course.start("setup", TINY_PAUSE=str(pause))
    Path(f"{pause}.here").read_text()  # returns when the installation is in the middle
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert course.environment.read_stamp().state == "installing"
    (course.environment.site_packages / "~alf_a_package").mkdir()  # what pip sets aside

    healed = course.run("setup")
    assert healed.returncode == 0, healed.stderr
    assert "going on with it" in healed.stdout
    assert course.has("tiny_lesson") == "1.0"
    assert not list(course.environment.site_packages.glob("~*"))


def test_who_comes_second_waits_even_for_a_pip_whose_launcher_was_killed(course: Course, pause: Path) -> None:
    first = course.start("setup", TINY_PAUSE=str(pause))
    Path(f"{pause}.here").read_text()
    os.kill(first.pid, signal.SIGKILL)  # pip itself lives on, and holds the lock
    second = course.start("setup")
    assert second.stdout is not None
    assert "waiting for it" in second.stdout.readline()
    Path(f"{pause}.go").write_text("go")
    rest, _ = second.communicate()
    assert second.returncode == 0, rest
    assert course.has("tiny_lesson") == "1.0"
    first.communicate()


def test_an_interrupted_run_says_how_to_go_on(course: Course, pause: Path) -> None:
    running = course.start("setup", TINY_PAUSE=str(pause))
    Path(f"{pause}.here").read_text()
    os.killpg(running.pid, signal.SIGINT)
    output, _ = running.communicate()
    assert running.returncode == 130
    assert "Run the same command again to go on" in output
    assert "helpers/cli" not in output, "no traceback of ours"


def test_without_a_network_there_is_a_sentence_and_a_remedy(course: Course) -> None:
    nowhere = {
        "PIP_NO_INDEX": "0",
        "PIP_FIND_LINKS": "",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
    }
    failed = course.run("setup", **nowhere)
    assert failed.returncode == 1
    assert "servelab: The package index cannot be reached." in failed.stderr
    assert "Remedy: check the network" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert course.run("setup").returncode == 0, "and the next run succeeds"


def test_a_package_that_the_index_lacks_is_told_apart_from_no_network(course: Course) -> None:
    (course.root / "constraints.txt").write_text("tiny-lesson==9.0\n")
    failed = course.run("setup")
    assert "or the index does not offer it" in failed.stderr


def test_an_update_that_fails_leaves_what_works(course: Course) -> None:
    course.run("setup")
    before = (course.root / "constraints.txt").read_text()
    (course.root / "constraints.txt").write_text("tiny-lesson==9.0\n")
    assert course.run("setup").returncode == 1
    assert course.has("tiny_lesson") == "1.0"
    (course.root / "constraints.txt").write_text(before)
    assert course.run("setup").stdout.startswith("The environment is ready"), "nothing had to be done again"


def test_an_unfinished_environment_can_be_mended_from_within(course: Course) -> None:
    course.run("setup")
    course.environment.write_stamp("installing", ["course"])
    command = [str(course.environment.python), "-m", "helpers", "setup"]
    mended = subprocess.run(
        command, cwd=course.root, env=course.variables, capture_output=True, text=True, check=False, timeout=120
    )
    assert mended.returncode == 0, mended.stderr
    assert course.has("tiny_lesson") == "1.0"


@pytest.mark.parametrize("damage", ["no INSTALLER", "no RECORD", "a file missing", "a file cut short"])
def test_a_package_that_was_half_unpacked_is_unpacked_again(ready_course: Course, damage: str) -> None:
    """pip itself takes such a package for installed; what it had finished is not touched."""
    course = ready_course
    site = course.environment.site_packages
    if damage.startswith("no "):
        (site / "tiny_lesson-1.0.dist-info" / damage.removeprefix("no ")).unlink()
    elif damage == "a file missing":
        (site / "tiny_lesson.py").unlink()
    else:
        (site / "tiny_lesson.py").write_text("version =")
    whole = (site / "tiny_test.py").stat().st_mtime_ns
    course.environment.write_stamp("installing", ["course", "dev"])
    healed = course.run("setup")
    assert healed.returncode == 0, healed.stderr
    assert (course.has("tiny_lesson"), course.has("tiny_test")) == ("1.0", "1.0")
    assert (site / "tiny_test.py").stat().st_mtime_ns == whole


def test_an_environment_of_the_users_own_is_left_alone(course: Course) -> None:
    course.environment.folder.mkdir()
    precious = course.environment.folder / "precious.txt"
    precious.write_text("mine")
    refused = course.run("setup")
    assert refused.returncode == 1
    assert "this command did not make it" in refused.stderr
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("name", ["servelab.new", "servelab.json"])
def test_a_stamp_cut_short_is_no_sign_of_a_strangers_environment(course: Course, name: str) -> None:
    course.environment.folder.mkdir()
    (course.environment.folder / name).write_text('{"state": "inst')
    assert course.run("setup").returncode == 0
    assert course.has("tiny_lesson") == "1.0"


def test_a_stamp_that_cannot_be_written_is_a_sentence(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(environment: Environment, state: str, extras: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Environment, "write_stamp", full)
    with pytest.raises(UserError, match=r"cannot be written .*No space left on device"):
        installer.install(course.environment, ["course"], disk_needed=0)


def test_an_unknown_group_of_packages_is_refused_with_the_known_ones(course: Course) -> None:
    refused = course.run("setup", "--extra", "moon")
    assert refused.returncode == 2
    assert "'moon'" in refused.stderr and "course, dev" in refused.stderr
    assert not course.environment.folder.exists()


def test_a_folder_that_cannot_be_written_is_named(course: Course) -> None:
    (course.root / ".venv.lock").mkdir()  # stands in the way whoever runs the tests, root included
    refused = course.run("setup")
    assert refused.returncode == 1
    assert "cannot be written to" in refused.stderr and "Traceback" not in refused.stderr


def test_too_small_a_disk_is_told_before_anything_is_done(course: Course) -> None:
    with pytest.raises(UserError, match="GB free; the environment needs") as refused:
        installer.install(course.environment, ["course"], disk_needed=10**18)
    assert "free some space" in refused.value.remedy
    assert not course.environment.folder.exists()


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_venv_module_names_the_package_to_install(
    course: Course, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = installer.importlib.util.find_spec
    monkeypatch.setattr(installer.importlib.util, "find_spec", lambda name: None if name == module else real(name))
    with pytest.raises(UserError, match=f"no {module} module") as refused:
        installer.install(course.environment, ["course"])
    assert "apt install python3" in refused.value.remedy


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("WARNING: Retrying ... NameResolutionError(...)\nERROR: No matching distribution found for x", "be reached"),
        ("ERROR: [Errno 13] Permission denied: 'x.py'", "cannot be written"),
        ("PermissionError: [WinError 5] Access is denied: 'x.pyd'", "cannot be written"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no build for this Python"),
        ("something odd\nERROR: the moon is in the wrong place", "the moon is in the wrong place"),
        ("", "no output"),
    ],
)
def test_what_pip_says_becomes_a_sentence(said: str, meaning: str) -> None:
    told = pip_install.explain(said, "pip could not install the packages.", Path("setup.log"))
    assert meaning in told.sentence
    assert "run the same command again" in told.remedy or "use CPython" in told.remedy
    assert "setup.log" in told.remedy


def test_windows_has_its_own_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    class Windows:
        name = "nt"

    monkeypatch.setattr(environment_module, "os", Windows)
    environment = Environment(Path("course"))
    assert environment.python == Path("course/.venv/Scripts/python.exe")
    assert environment.site_packages == Path("course/.venv/Lib/site-packages")


def test_a_damaged_stamp_counts_as_unfinished(course: Course) -> None:
    course.environment.folder.mkdir()
    for text in ("", "not json", "[]", '{"state": "ready"}', json.dumps({"state": "ready", "moon": 1})):
        course.environment.stamp_file.write_text(text)
        assert course.environment.state() is State.UNFINISHED
        assert not course.environment.is_ready([])


def test_a_changed_linter_setting_installs_nothing(course: Course) -> None:
    before = course.environment.fingerprint()
    with (course.root / "pyproject.toml").open("a") as project:
        project.write(textwrap.dedent("\n[tool.ruff]\nline-length = 80\n"))
    assert course.environment.fingerprint() == before
