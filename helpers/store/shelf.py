"""The folders of a store: written beside and moved into place, never changed, checked when read.

    NAME/1/model.json, NAME/1/model.onnx   a version
    NAME/.aliases/prod                     holds the name of a version
    NAME/.retired/2                        a version that was removed; its number is not given again
    NAME/.new-…                            a version that is being written

A version comes into being by one rename. Who is killed before leaves only a folder that
the next saver removes; of two who want the same number, one is refused by the file system and
takes the next.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from helpers import atomic_files
from helpers.store.record import FILE, File

NEW = ".new-"
CHUNK = 1 << 20
TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.EACCES, errno.EPERM}  # the last two are Windows's words for it


class Shelf:
    """All versions of one model's name."""

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / name
        self._aliases = self.path / ".aliases"
        self._retired = self.path / ".retired"

    def versions(self) -> list[str]:
        """The versions that are there, in no order."""
        return [entry.name for entry in _entries(self.path) if entry.is_dir() and not entry.name.startswith(".")]

    def next_number(self) -> int:
        """One more than any number ever given here."""
        given = [*self.versions(), *(entry.name for entry in _entries(self._retired))]
        return max((int(version) for version in given if version.isdigit()), default=0) + 1

    @contextlib.contextmanager
    def new_folder(self) -> Iterator[Path]:
        """A folder to write a version into; it is gone afterwards, unless it was published."""
        with atomic_files.temporary_folder(self.path, NEW) as place:
            folder = place / "version"
            folder.mkdir()
            yield folder

    def publish(self, folder: Path, version: str) -> bool:
        """Move a finished folder into place; False if the version is there already."""
        if (self.path / version).exists():  # an empty folder would be replaced without a word
            return False
        atomic_files.sync_folder(folder)
        try:
            folder.rename(self.path / version)
        except OSError as error:
            if error.errno in TAKEN and (self.path / version).exists():
                return False
            raise
        atomic_files.sync_folder(self.path)
        return True

    def retire(self, version: str) -> None:
        """Take a version away in one step, and remember its number."""
        self._retired.mkdir(exist_ok=True)
        (self._retired / version).touch()
        with atomic_files.temporary_folder(self.path, NEW) as place:
            (self.path / version).rename(place / version)

    def aliases(self) -> dict[str, str]:
        """Each alias and the version that it stands for."""
        found = {}
        for entry in _entries(self._aliases):
            with contextlib.suppress(OSError):  # removed while we looked
                if not entry.name.startswith("."):
                    found[entry.name] = entry.read_text("utf-8").strip()
        return found

    def set_alias(self, alias: str, version: str) -> None:
        """Readers see the old version or the new one, and nothing between."""
        atomic_files.write(self._aliases / alias, version + "\n", durable=True)

    def remove_alias(self, alias: str) -> None:
        (self._aliases / alias).unlink(missing_ok=True)


def measure(folder: Path) -> dict[str, File]:
    """Every file of a version but its record: its size, and the digest of what is in it. Written through to disk."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path.name} is a link; a version holds files of its own")
        if path.is_file() and path.name != FILE:
            found[path.relative_to(folder).as_posix()] = File(path.stat().st_size, _sha256(path, os.fsync))
    return found


def differences(folder: Path, files: dict[str, File]) -> list[str]:
    """What is not as the record says."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {FILE}
    found = [f"{name} is missing" for name in sorted(files.keys() - there)]
    found += [f"{name} does not belong there" for name in sorted(there - files.keys())]
    for name in sorted(files.keys() & there):
        if (folder / name).stat().st_size != files[name].bytes or _sha256(folder / name) != files[name].sha256:
            found.append(f"{name} was changed")
    return found


def digest_of(files: dict[str, File]) -> str:
    """One digest for all files of a version."""
    lines = "".join(f"{file.sha256} {name}\n" for name, file in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _sha256(path: Path, then: Callable[[int], object] = lambda descriptor: None) -> str:
    digest = hashlib.sha256()
    with path.open("rb+" if then is os.fsync else "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
        then(file.fileno())
    return digest.hexdigest()


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
