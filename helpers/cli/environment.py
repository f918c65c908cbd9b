"""The course's virtual environment: where it is, and whether it can be used as it is.

Standard library only: this runs on a fresh checkout, before anything is installed.
How the environment is made is told in ``installer.py``.
"""

import hashlib
import importlib.metadata
import json
import os
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helpers.errors import UserError
from helpers.places import ROOT

DISTRIBUTION = "servelab"


@dataclass(frozen=True)
class Stamp:
    """What setup leaves in ``.venv`` to say how far it came and from what it was made."""

    state: str  # "installing" until the last step is done, then "ready"
    root: str
    fingerprint: str
    extras: list[str]


class Environment:
    """The ``.venv`` of one checkout.

    >>> Environment().is_ready(["course"])  # doctest: +SKIP
    True
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.folder = root / ".venv"

    @property
    def python(self) -> Path:
        """The environment's interpreter, whether or not it exists yet."""
        if os.name == "nt":
            return self.folder / "Scripts" / "python.exe"
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where the environment's packages are unpacked."""
        if os.name == "nt":
            return self.folder / "Lib" / "site-packages"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

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
        """Record how far the installation came; the change is all or nothing."""
        stamp = Stamp(state, str(self.root), self.fingerprint(), sorted(extras))
        beside = self.stamp_file.with_suffix(".new")
        beside.write_text(json.dumps(asdict(stamp), indent=1), "utf-8")
        beside.replace(self.stamp_file)

    def is_whole(self) -> bool:
        """True if an installation was finished here, be it of older pins.

        A stamp that still says "installing" is what a killed run leaves. A moved
        checkout counts as not whole, since scripts and links hold absolute paths.
        """
        stamp = self.read_stamp()
        return bool(stamp and stamp.state == "ready" and stamp.root == str(self.root) and self.python.exists())

    def is_ready(self, extras: Iterable[str]) -> bool:
        """True if nothing needs to be installed for these extras: they are there, or all that they name is."""
        stamp = self.read_stamp()
        if not (stamp and self.is_whole() and stamp.fingerprint == self.fingerprint()):
            return False
        missing = set(extras) - set(stamp.extras)
        groups = self.project().get("optional-dependencies", {}) if missing else {}
        there = {needed for extra in stamp.extras for needed in groups.get(extra, [])}
        return all(extra in groups and set(groups[extra]) <= there for extra in missing)

    def is_current(self) -> bool:
        """True if the running interpreter is this environment's."""
        return Path(sys.prefix).resolve() == self.folder.resolve()


def variables() -> dict[str, str]:
    """The variables for programs started from here: the environment's own programs come first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path}


def is_provided(extras: Iterable[str]) -> bool:
    """True if the running interpreter has the course from elsewhere: conda, Binder, a hub.

    Then nothing is made beside it. It must hold this package and all that the extras name.
    """
    try:
        from packaging.requirements import Requirement

        for text in importlib.metadata.requires(DISTRIBUTION) or []:
            needed = Requirement(text)
            wanted = needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in ["", *extras])
            if wanted:
                importlib.metadata.version(needed.name)
    except (ImportError, importlib.metadata.PackageNotFoundError):
        return False
    return True
