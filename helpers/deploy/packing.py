"""A directory that holds all that a service needs, and nothing else; the same thing gives the same bytes.

bundle.json        name, version, what is served, the digest of every other file
run.py             checks the digests and serves
app/               the service's own modules, and their data
kit/               the serving engine, as source
lab/store/         the models, each at the version that its tag meant
requirements.txt   every package at its exact version
Dockerfile  openapi.json  README.md
"""

import contextlib
import hashlib
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from helpers.deploy import entry, needs
from helpers.deploy.contents import Contents, collect, include, include_declared, size_of
from helpers.deploy.first_start import FailedStart, start_once
from helpers.deploy.kit import kit_files
from helpers.deploy.omissions import Omissions
from helpers.deploy.recipe import dockerfile, readme
from helpers.deploy.requirements import required
from helpers.deploy.source_scan import scan
from helpers.deploy.unfinished import unfinished
from helpers.errors import UserError
from helpers.places import ROOT, lab_home
from helpers.store import Store

SHOWN = 10  # files, by name and size; of further ones the sum


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


@dataclass(frozen=True)
class Extras:
    """What a bundle holds besides what is found: files, packages and models that are needed later than at the start."""

    include: Sequence[str] = ()
    require: Sequence[str] = ()
    models: Sequence[str] = ()


def bundle(
    target: str,
    into: Path,
    folder: Path | None = None,
    store: Store | None = None,
    say: Callable[[str], None] = print,
    extras: Extras = Extras(),  # it is frozen
    seconds: float = needs.START_SECONDS,
) -> Bundle:
    """Write the bundle of a target, ``module:Service`` or a tag, into a new folder inside ``into``.

    It gets its name only after it was started in its own directory, and answered that it is ready.
    """
    folder, store = (folder or Path.cwd()).resolve(), store or Store()
    added = required(extras.require)
    say(f"starting {target} once, to see what it needs")
    found = needs.find(target, folder, seconds)
    found = replace(found, packages=dict(sorted((found.packages | added).items())))
    mentions = scan(folder, found.modules, found.roots)
    avoid = [each for each in (into.resolve(), lab_home(), ROOT / "helpers") if each.parent.is_relative_to(folder)]
    contents = collect(
        folder,
        [*found.modules, *mentions.modules],
        [*found.folders, *mentions.folders],
        found.files,
        found.written,
        avoid,
    )
    include_declared(contents, found.declared, avoid)
    include(contents, extras.include, folder, "--include", avoid)
    models = {tag: store.get(tag).tag for tag in extras.models} | _mentioned(mentions.tags, store) | found.models
    found = replace(found, models=dict(sorted(models.items())))
    omissions = Omissions(target, folder, found, mentions, contents)
    for line in [*_described(contents), *omissions.notes()]:
        say(line)
    with unfinished(into, ".bundle-") as place:
        beside = place / "bundle"
        _write_files(beside, target, found, contents, store)
        files = {path.relative_to(beside).as_posix(): path for path in sorted(beside.rglob("*")) if path.is_file()}
        digests = {name: entry.digest_of(path) for name, path in files.items()}
        version = hashlib.sha256(json.dumps([target, digests], sort_keys=True).encode()).hexdigest()[:12]
        about: dict[str, Any] = {"name": found.name, "version": version, "target": target, "models": found.models}
        about |= {"python": f"{sys.version_info.major}.{sys.version_info.minor}", "packages": found.packages}
        _write(beside / "bundle.json", json.dumps(about | {"files": digests}, indent=1, sort_keys=True) + "\n")
        say("starting the bundle once, in its own directory")
        try:
            start_once(beside, digests | {"bundle.json": entry.digest_of(beside / "bundle.json")}, seconds, say)
        except FailedStart as error:
            raise omissions.refusal(error.line) from None
        whole = into / f"{found.name}-{version}"
        _put(beside, whole, place / "changed")
    counts = f"{len(digests)} files, {len(found.models)} models, {len(found.packages)} packages"
    say(f"{whole}: {counts}; it was started, was ready, and was stopped")
    return Bundle.read(whole)


def _mentioned(tags: Mapping[str, str], store: Store) -> dict[str, str]:
    """Models that a method or a helper loads by a tag in the source, and that the start did not load."""
    found = {}
    for tag in tags:
        with contextlib.suppress(UserError):
            found[tag] = store.get(tag).tag
    return found


def _described(contents: Contents) -> Iterator[str]:
    """The data that is packed, and what was left out of the packages, with sizes."""
    data = sorted(contents.data.items())
    for name, size in data[:SHOWN]:
        yield f"data: {name} ({size_of(size)})"
    if more := data[SHOWN:]:
        yield f"data: {len(more)} more files ({size_of(sum(size for _, size in more))})"
    for name, why in sorted(contents.left_out.items()):
        yield f"left out: {name} ({why}); if the service reads it, add --include {shlex.quote(name)}"


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


def _write_files(beside: Path, target: str, found: needs.Needs, contents: Contents, store: Store) -> None:
    for name, source in contents.files.items():
        _copy(source, beside / "app" / name)
    (beside / "app").mkdir(parents=True, exist_ok=True)
    for path in kit_files():
        _copy(ROOT / path, beside / "kit" / path)
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
    try:
        shutil.copyfile(source, target)
    except PermissionError as error:
        if error.filename != str(source):
            raise
        raise UserError(f"{source} cannot be read: {error.strerror}.", "let it be read, or move it away.") from None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8", newline="\n")
