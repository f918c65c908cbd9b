"""``lab``: the port it was given, the page it opens, and that working with it changes no file of the course."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest

from helpers.classroom.executor import execute
from helpers.cli import lab, main
from helpers.places import ROOT

COURSE = ["helpers", "notebooks", "exercises", "solutions", ".gitignore", "pyproject.toml", "constraints.txt"]


def test_a_taken_port_is_refused_at_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(lab, "WORK", tmp_path / "work")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["lab", "--no-browser", "--port", str(port)]) == 1
    assert f"Port {port} is taken" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of its own with the course in it."""
    folder = tmp_path_factory.mktemp("course")
    leave_out = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in COURSE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=leave_out)
        else:
            shutil.copy(source, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "The course")
    return folder


def git(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return ran.stdout


def variables(checkout: Path) -> dict[str, str]:
    """A learner's: the course is this checkout, and what it makes goes to its own .lab/."""
    own = {name: value for name, value in os.environ.items() if name != "SERVELAB_HOME"}
    return own | {"PYTHONPATH": str(checkout)}


class Lab:
    """A JupyterLab that runs: its address, and its files as the browser sees them."""

    def __init__(self, address: str, said: str) -> None:
        self.address = address
        self.said = said
        self._origin, self._token = re.match(r"(http://[^/]+).*token=(\w+)", address).groups()  # type: ignore[union-attr]

    def contents(self, path: str, model: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read a file or a folder, or save it."""
        request = urllib.request.Request(f"{self._origin}/api/contents/{path}", method="PUT" if model else "GET")
        request.add_header("Authorization", f"token {self._token}")
        body = json.dumps(model).encode() if model else None
        with urllib.request.urlopen(request, data=body) as response:
            found: dict[str, Any] = json.load(response)
        return found


@contextmanager
def started(checkout: Path) -> Iterator[Lab]:
    command = [sys.executable, "-m", "helpers", "lab", "--no-browser", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=checkout, env=variables(checkout), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if found := re.search(r"http://127\S+token=\S+", line):
                fetch(found[0])
                yield Lab(found[0], said)
                break
        else:
            raise AssertionError(said)
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and "Shutting down" in output, output


def fetch(address: str) -> str:
    """The page; Jupyter prints its address a moment before it listens there."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(address) as page:
                return str(page.read().decode())
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise


def test_lab_opens_the_first_lecture_among_lectures_and_exercises(checkout: Path) -> None:
    with started(checkout) as running:
        assert "/tree/work/00_welcome_1_lecture.ipynb" in running.address
        text = fetch(running.address)
        assert "JupyterLab" in text
        assert re.search(r"disabledExtensions.*apputils-extension:announcements", text, re.DOTALL), "it asks for news"
        names = {entry["name"] for entry in running.contents("work")["content"]}
    for original in checkout.glob("notebooks/*.ipynb"):
        assert {f"{original.stem}_1_lecture.ipynb", f"{original.stem}_2_exercise.ipynb"} <= names
    assert "newer version" not in running.said


def test_working_through_the_course_changes_no_file_of_it(checkout: Path) -> None:
    with started(checkout) as running:
        copies = [entry["path"] for entry in running.contents("work")["content"]]
        own = {"PYTHONPATH": str(checkout)}  # the model that it trains is kept for the other tests
        ran = execute(checkout / "work" / "00_welcome_2_exercise.ipynb", 200, 300, own)
        assert ran.failure is None, str(ran.failure)
        outputs = [cell.outputs for cell in ran.notebook.cells if cell.cell_type == "code"]
        assert any(outputs)
        originals = [
            str(path.relative_to(checkout)) for path in checkout.glob("*/*.ipynb") if path.parent.name != "work"
        ]
        for path in [*copies, *originals]:  # an original, too, can be opened by its path
            model = running.contents(path)
            for cell in model["content"]["cells"]:
                if cell["cell_type"] == "code":
                    cell |= {"execution_count": 1, "outputs": outputs[0]}
            running.contents(path, {"type": "notebook", "format": "json", "content": model["content"]})
    saved = nbformat.read(checkout / copies[0], as_version=4)
    assert any(cell.get("outputs") for cell in saved.cells), "a copy keeps its outputs"
    assert git(checkout, "status", "--porcelain") == ""


def test_after_an_update_a_note_tells_how_to_get_the_newer_version(checkout: Path) -> None:
    with started(checkout):
        pass
    edited, other = (checkout / "work" / f"0{n}_{name}_1_lecture.ipynb" for n, name in ((1, "export"), (3, "measure")))
    rewrite(edited, "# 01 Export to ONNX", "# 01 Export to ONNX, with my notes")
    mine = edited.read_bytes()
    for name in ("01_export", "03_measure"):
        rewrite(
            checkout / "notebooks" / f"{name}.ipynb",
            "**You will be able to**",
            "**Afterwards**\\n**You will be able to**",
        )
    with started(checkout) as running:
        assert "work/01_export_1_lecture.ipynb has your changes" in running.said
        assert "python3 -m helpers start 01 --lecture --again" in running.said
        assert "measure" not in running.said
    assert edited.read_bytes() == mine
    assert "**Afterwards**" in other.read_text("utf-8")


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
