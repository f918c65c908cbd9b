"""A tiny checkout with the real helpers in it, which real venvs and real pip set up in seconds, offline."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from helpers import PROCESS_VARIABLE
from helpers.cli import relocation
from helpers.cli.environment import Environment
from helpers.places import ROOT

# A build backend that can be told to stop in the middle: it says "here" into one pipe and
# waits for a word from another.
BACKEND = '''
import os, pathlib, zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    pause = os.environ.get("TINY_PAUSE")
    if pause:
        with open(pause + ".here", "w") as here:
            here.write("here")
        with open(pause + ".go") as go:
            go.read()
    name = "servelab-0.1.0-py3-none-any.whl"
    info = "servelab-0.1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        wheel.writestr("servelab.pth", f"{pathlib.Path.cwd()}\\n{os.environ['TINY_BORROWED']}\\n")
        wheel.writestr(info + "/METADATA", """Metadata-Version: 2.1
Name: servelab
Version: 0.1.0
Provides-Extra: course
Provides-Extra: dev
Provides-Extra: batch
Requires-Dist: tiny-lesson; extra == "course"
Requires-Dist: tiny-test; extra == "dev"
Requires-Dist: tiny-table; extra == "batch"
""")
        wheel.writestr(info + "/entry_points.txt", "[console_scripts]\\nservelab = helpers.cli:installed_command\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/RECORD", "")
    return name
'''

# The packages of this environment, which the tiny one can import too.
BORROWED = str(next(path for path in map(Path, sys.path) if (path / "msgspec").is_dir()))
BARE_PYTHON = getattr(sys, "_base_executable", sys.executable)

PYPROJECT = """
[build-system]
requires = []
build-backend = "tiny_backend"
backend-path = ["."]

[project]
name = "servelab"
version = "0.1.0"

[project.optional-dependencies]
course = ["tiny-lesson"]
dev = ["tiny-test"]
batch = ["tiny-table"]
"""


PINS = "tiny-lesson=={0}\ntiny-test=={0}\ntiny-table=={0}\n"


class Course:
    """A tiny checkout in a folder with spaces, with the real helpers in it."""

    def __init__(self, folder: Path, like: "Course | None" = None) -> None:
        """A fresh clone; or, ``like`` another, a copy of that one with its environment."""
        self.root = folder / "a course with spaces"
        self.wheels = folder / "wheels"
        self.environment = Environment(self.root)
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.wheels.as_uri(), "PIP_CONFIG_FILE": os.devnull}
        # Without PROCESS_VARIABLE its commands are typed by a person, and not child processes of pytest.
        own = {n: v for n, v in os.environ.items() if n not in (PROCESS_VARIABLE, "PYTHONPATH") and n[:4] != "PIP_"}
        self.variables = own | offline | {"SERVELAB_HOME": str(folder / "lab"), "TINY_BORROWED": BORROWED}
        if like is None:
            self._clone()
            return
        shutil.copytree(like.wheels, self.wheels)
        shutil.copytree(like.root, self.root, symlinks=True)
        stamp = self.environment.read_stamp()
        assert stamp is not None
        relocation.repair(self.environment, stamp)

    def _clone(self) -> None:
        self.wheels.mkdir(parents=True)
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "helpers", self.root / "helpers", ignore=skip)
        (self.root / "tiny_backend.py").write_text(BACKEND)
        (self.root / "pyproject.toml").write_text(PYPROJECT)
        (self.root / "constraints.txt").write_text(PINS.format("1.0"))
        for name in ("tiny_lesson", "tiny_test", "tiny_table"):
            for version in ("1.0", "2.0"):
                self.offer(name, version)

    def offer(self, name: str, version: str) -> None:
        """Put a package where pip will find it."""
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(self.wheels / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            program = f"version = {version!r}\n"
            wheel.writestr(f"{name}.py", program)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", f"{name}.py,,{len(program)}\n{info}/METADATA,,\n")

    def move(self, name: str, copy: bool = False) -> None:
        """The checkout in another folder, with its environment; the commands run there from now on."""
        moved = self.root.with_name(name)
        if copy:
            shutil.copytree(self.root, moved, symlinks=True)
        else:
            self.root.rename(moved)
        self.root, self.environment = moved, Environment(moved)

    def command(self, *arguments: str) -> list[str]:
        return [BARE_PYTHON, "-m", "helpers", *arguments]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.variables | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.root,
            env=self.variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def has(self, package: str) -> str:
        """The version of a package inside the environment, or nothing."""
        program = f"import {package}; print({package}.version)"
        command = [str(self.environment.python), "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
