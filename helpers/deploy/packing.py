"""A directory that holds all that a service needs, and nothing else; the same thing gives the same bytes.

bundle.json        name, version, what is served, the digest of every other file
run.py             checks the digests and serves
app/               the service's own modules
kit/               the serving engine, as source
lab/store/         the models, each at the version that its tag meant
requirements.txt   every package at its exact version
Dockerfile  openapi.json  README.md
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.deploy import entry, needs
from helpers.deploy.recipe import dockerfile, readme
from helpers.deploy.unfinished import unfinished
from helpers.errors import UserError
from helpers.places import ROOT
from helpers.store import Store

# What of the kit a server needs.
MODULES = ("__init__.py", "atomic_files.py", "errors.py", "installed.py", "places.py", "process_lock.py")
KIT = (*MODULES, "engine", "runtime", "serving", "store", "wire")


@dataclass(frozen=True)
class Bundle:
    """A bundle that was written, or found."""

    path: Path
    name: str
    version: str
    target: str
    packages: dict[str, str]
    files: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> "Bundle":
        """One that is there already."""
        try:
            about = json.loads((path / "bundle.json").read_text("utf-8"))
            return cls(path, about["name"], about["version"], about["target"], about["packages"], about["files"])
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{path} is no bundle.", "make one: python3 -m helpers bundle module:Service", 2) from None

    @property
    def reference(self) -> str:
        """What its image is called."""
        return f"{self.name.lower()}:{self.version}"

    def changed(self) -> list[str]:
        """Files that are not as they were packed, or were not packed at all."""
        wrong = [name for name, digest in self.files.items() if entry.digest_of(self.path / name) != digest]
        return wrong + entry.unknown(self.path, self.files)


def bundle(
    target: str, into: Path, folder: Path | None = None, store: Store | None = None, say: Callable[[str], None] = print
) -> Bundle:
    """Write the bundle of a target, ``module:Service`` or a tag, into a new folder inside ``into``."""
    folder, store = folder or Path.cwd(), store or Store()
    say(f"starting {target} once, to see what it needs")
    found = needs.find(target, folder)
    with unfinished(into, ".bundle-") as place:
        beside = place / "bundle"
        _write_files(beside, target, found, folder, store)
        files = {path.relative_to(beside).as_posix(): path for path in sorted(beside.rglob("*")) if path.is_file()}
        digests = {name: entry.digest_of(path) for name, path in files.items()}
        version = hashlib.sha256(json.dumps([target, digests], sort_keys=True).encode()).hexdigest()[:12]
        about: dict[str, Any] = {"name": found.name, "version": version, "target": target, "models": found.models}
        about |= {"python": f"{sys.version_info.major}.{sys.version_info.minor}", "packages": found.packages}
        _write(beside / "bundle.json", json.dumps(about | {"files": digests}, indent=1, sort_keys=True) + "\n")
        whole = into / f"{found.name}-{version}"
        _put(beside, whole, place / "changed")
    say(f"{whole}: {len(digests)} files, {len(found.models)} models, {len(found.packages)} packages")
    return Bundle.read(whole)


def _put(beside: Path, whole: Path, changed: Path) -> None:
    """Give it its name, unless the same is there; one that was changed since goes away."""
    if whole.exists():
        with contextlib.suppress(UserError):
            if not Bundle.read(whole).changed():
                return
        whole.replace(changed)
    try:
        beside.replace(whole)
    except OSError:
        if not whole.exists():  # else another process was faster, with the same bytes
            raise


def _write_files(beside: Path, target: str, found: needs.Needs, folder: Path, store: Store) -> None:
    for module in found.modules:
        _copy(folder / module, beside / "app" / module)
    (beside / "app").mkdir(parents=True, exist_ok=True)
    for part in KIT:
        source = ROOT / "helpers" / part
        for path in [source] if source.is_file() else sorted(source.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                _copy(path, beside / "kit" / "helpers" / path.relative_to(ROOT / "helpers"))
    for tag, version in found.models.items():
        _copy_model(store, tag, version, beside / "lab" / "store")
    _copy(Path(entry.__file__), beside / "run.py")
    requirements = "".join(f"{name}=={version}\n" for name, version in found.packages.items())
    _write(beside / "requirements.txt", requirements)
    _write(beside / "openapi.json", json.dumps(found.openapi, indent=1, sort_keys=True) + "\n")
    _write(beside / "Dockerfile", dockerfile(found.name))
    _write(beside / ".dockerignore", "__pycache__\n*.pyc\n.git\n")
    _write(beside / "README.md", readme(found, target))


def _copy_model(store: Store, tag: str, version: str, into: Path) -> None:
    """One version with its record, verified; and the alias by which it was asked for."""
    stored = store.get(version)
    stored.verify()
    name, number = stored.record.name, stored.record.version
    for path in sorted(stored.path.rglob("*")):  # each by itself: whoever runs the bundle may read it
        if path.is_file():
            _copy(path, into / name / number / path.relative_to(stored.path))
    _, _, asked = tag.partition(":")
    if asked and asked not in (number, "latest"):
        Store(into).alias(version, asked)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8", newline="\n")
