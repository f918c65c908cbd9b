"""The command line as a person meets it: what it says, and with which exit code."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.__main__ import refuse_unsuitable_python, runs
from helpers.cli import COMMANDS, main
from helpers.places import ROOT


def helpers(*arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "helpers", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    said = helpers(name, "--help")
    assert said.returncode == 0, said.stderr
    assert f"helpers {name}" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence", "remedy"),
    [
        (["lap"], "There is no command 'lap'", "did you mean: python3 -m helpers lab"),
        (["xyzzy"], "There is no command 'xyzzy'", "python3 -m helpers --help"),
        (["build", "--chek"], "There is no option --chek", "helpers build --help"),
        (["start"], "The following arguments are required: lesson", "helpers start --help"),
        (["start", "99"], "There is no lesson '99'", "choose from: 00 (welcome), 01 (export)"),
        (["lab", "--port", "moon"], "'moon' is not a port", "helpers lab --help"),
        (["lab", "--port", "70000"], "'70000' is not a port", "helpers lab --help"),
        (["status", "moon"], "There is no lesson 'moon'", "choose from"),
    ],
)
def test_a_mistake_gets_one_sentence_and_a_remedy(
    arguments: list[str], sentence: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("servelab: ") and sentence in said.err and remedy in said.err
    assert said.err.count("\n") == 2


def test_an_old_python_is_told_what_to_do() -> None:
    assert refuse_unsuitable_python((3, 11)) is None
    assert refuse_unsuitable_python((3, 13)) is None
    for version in ((3, 6), (3, 10), (3, 14), (4, 0)):
        said = refuse_unsuitable_python(version)
        assert f"Python {version[0]}.{version[1]} cannot run the course" in said
        assert "Remedy: " in said and said.count("\n") == 1


def test_the_launcher_can_be_read_by_old_pythons() -> None:
    """Compiled with the grammar of 3.7; ``ast`` refuses what came later."""
    import ast

    for name in ("__init__.py", "__main__.py"):
        ast.parse((ROOT / "helpers" / name).read_text("utf-8"), feature_version=(3, 7))


# Beside the interpreter that made the environment, version managers keep others.
NEIGHBOURS = Path(sys.base_prefix).resolve().parent
OLD = [str(path) for minor in range(6, 11) for path in sorted(NEIGHBOURS.glob(f"3.{minor}.*/bin/python"))]
OLD += [path for minor in range(6, 11) if (path := shutil.which(f"python3.{minor}")) and runs(path)]


@pytest.mark.parametrize("python", OLD or [pytest.param("", marks=pytest.mark.skip("no older Python on this machine"))])
def test_a_real_old_python_is_told_what_to_do(python: str) -> None:
    said = helpers("lab", python=python)
    assert said.returncode == 1
    assert "cannot run the course, which needs 3.11 to 3.13" in said.stderr and "Traceback" not in said.stderr


def test_the_command_works_from_another_folder(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "helpers", "build", "--check"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
