"""The course's virtual environment: where it is, and whether it can be used as it is.

Standard library only: this runs on a fresh checkout, before anything is installed.
``installer.py`` makes and updates the environment, ``relocation.py`` repairs a moved one.
"""

import enum
import hashlib
import json
import os
import platform
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from helpers import PROCESS_VARIABLE
from helpers.cli import requirements
from helpers.errors import UserError
from helpers.places import ROOT

PLATFORM = f"{sys.platform}-{platform.machine()}"


@dataclass(frozen=True)
class Stamp:
    """What setup leaves in ``.venv`` to say how far it came and from what it was made."""

    state: str  # "installing" until the last step is done, then "ready"
    root: str  # the checkout that its editable install refers to
    fingerprint: str
    extras: list[str]
    folder: str = ""  # the folder that its scripts refer to; empty in older stamps: root/.venv
    platform: str = ""

    @property
    def written_for(self) -> Path:
        return Path(self.folder) if self.folder else Path(self.root) / ".venv"


class State(enum.Enum):
    """What can be done with an environment. The values finish a sentence: "The environment …"."""

    ABSENT = "is not made yet"
    FOREIGN = "was not made by this command"
    BROKEN = "has no working Python on this machine"
    UNFINISHED = "is not finished"
    MOVED = "was moved or copied, and its scripts refer to another folder"
    WHOLE = "is whole"


class Environment:
    """The ``.venv`` of one checkout.

    >>> Environment().is_ready(["course"])  # doctest: +SKIP
    True
    """

    def __init__(self, root: Path = ROOT, name: str = ".venv") -> None:
        self.root = root
        self.folder = root / name

    @property
    def scripts(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        """The environment's interpreter, whether or not it exists yet."""
        return self.scripts / ("python.exe" if os.name == "nt" else "python")

    @property
    def site_packages(self) -> Path:
        """Where the environment's packages are unpacked."""
        if os.name == "nt":
            return self.folder / "Lib" / "site-packages"
        mine = self.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        others = sorted(self.folder.glob("lib/python3.*/site-packages"))
        return mine if mine.exists() or not others else others[-1]

    @property
    def stamp_file(self) -> Path:
        return self.folder / "servelab.json"

    def project(self) -> dict[str, Any]:
        """The package's own table of pyproject.toml."""
        try:
            text = (self.root / "pyproject.toml").read_text("utf-8")
        except FileNotFoundError:
            raise UserError(
                f"{self.root} is not a checkout of the course.",
                "clone the course, and run the command in its folder.",
            ) from None
        table: dict[str, Any] = tomllib.loads(text)["project"]
        return table

    def check_extras(self, names: Iterable[str]) -> None:
        """Refuse a group of packages that the project does not have."""
        known = self.project()["optional-dependencies"]
        for name in names:
            if name not in known:
                raise UserError(
                    f"There is no group of packages called {name!r}.", f"choose from: {', '.join(known)}", 2
                )

    def fingerprint(self) -> str:
        """A digest of all that decides what gets installed.

        Only the package's own table of pyproject.toml counts: a changed linter
        setting is no reason to install anything again.
        """
        digest = hashlib.sha256(json.dumps(self.project(), sort_keys=True).encode())
        digest.update((self.root / "constraints.txt").read_bytes())
        return digest.hexdigest()

    def read_stamp(self) -> Stamp | None:
        """The stamp, or None where there is none that can be read."""
        try:
            return Stamp(**json.loads(self.stamp_file.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write_stamp(self, state: str, extras: Iterable[str]) -> None:
        """Record how far the installation came."""
        self._write(Stamp(state, str(self.root), self.fingerprint(), sorted(extras), str(self.folder), PLATFORM))

    def claim(self, stamp: Stamp) -> None:
        """Record that everything in the folder refers to where it is now."""
        self._write(replace(stamp, root=str(self.root), folder=str(self.folder)))

    def _write(self, stamp: Stamp) -> None:
        beside = self.stamp_file.with_suffix(".new")
        beside.write_text(json.dumps(asdict(stamp), indent=1), "utf-8")
        beside.replace(self.stamp_file)  # all or nothing

    def state(self) -> State:
        """What can be done with it."""
        stamp = self.read_stamp()
        if stamp is None:
            # A stamp cut short, by a full disk say, is still a sign that the folder is ours.
            others = [path for path in _content(self.folder) if path.stem != self.stamp_file.stem]
            if others:
                return State.FOREIGN
            return State.UNFINISHED if self.folder.exists() else State.ABSENT
        if not self._python_works(stamp):
            begun = self.site_packages.exists() and any(self.site_packages.glob("*.dist-info"))
            return State.BROKEN if begun or stamp.state == "ready" else State.UNFINISHED
        if stamp.state != "ready":
            return State.UNFINISHED
        return State.WHOLE if self.is_here(stamp) else State.MOVED

    def is_here(self, stamp: Stamp) -> bool:
        """True if scripts and the editable install refer to this folder and this checkout."""
        return Path(stamp.root) == self.root and stamp.written_for == self.folder

    def _python_works(self, stamp: Stamp) -> bool:
        home = self._home()
        return self.python.exists() and home is not None and home.is_dir() and stamp.platform in ("", PLATFORM)

    def _home(self) -> Path | None:
        """The folder of the Python that the environment was made with."""
        try:
            lines = (self.folder / "pyvenv.cfg").read_text("utf-8").splitlines()
        except OSError:
            return None
        return next((Path(line.partition("=")[2].strip()) for line in lines if line.startswith("home")), None)

    def is_usable(self) -> bool:
        """True if programs can run in it as it is, be it of older pins or moved."""
        return self.state() in (State.WHOLE, State.MOVED)

    def has_current_pins(self) -> bool:
        """True if it was installed from this checkout's pins."""
        stamp = self.read_stamp()
        return stamp is not None and stamp.fingerprint == self.fingerprint()

    def is_ready(self, extras: Iterable[str]) -> bool:
        """True if nothing needs to be done for these extras: they are there, or all that they name is."""
        stamp = self.read_stamp()
        if stamp is None or self.state() is not State.WHOLE or not self.has_current_pins():
            return False
        return set(extras) <= set(stamp.extras) or not self.missing(extras)

    def missing(self, extras: Iterable[str]) -> set[str]:
        """The packages of the lean core and of these extras that are not in it."""
        project = self.project()
        groups: dict[str, list[str]] = project.get("optional-dependencies", {})
        unknown = set(extras) - groups.keys()
        wanted = [*project.get("dependencies", []), *(text for extra in extras for text in groups.get(extra, []))]
        return requirements.names(wanted) - requirements.found_in(self.site_packages) | unknown

    def is_current(self) -> bool:
        """True if the running interpreter is this environment's."""
        return Path(sys.prefix).resolve() == self.folder.resolve()


def _content(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def is_child() -> bool:
    """True if a process that uses this package started this one: a notebook's kernel, a server, a test."""
    return os.environ.get(PROCESS_VARIABLE, "") not in ("", str(os.getpid()))


def variables() -> dict[str, str]:
    """The variables for programs started from here: the environment's own programs come first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path}
