"""Files and folders that appear whole or not at all, when several processes write and any of them may be killed.

A file is written beside its place and renamed into it, under a lock: readers see the content before or the
content after, and of two that read, change and write, neither loses the other's change. A writer that is
killed leaves a hidden file or folder, which the next one removes.

    write(path, content)                             a whole file
    with replacing(path) as beside: save(beside)     the same, for what writes to a path
    update(path, change)                             read, change and write as one step
    with temporary_folder(parent, ".new-") as place  a folder to fill, whose content is moved out when it is whole

``durable`` also waits until the disk has it, so that a power cut leaves the content before or the content after.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from helpers.process_lock import ProcessLock

LONGEST_NAME = 200  # characters of a file's name that the names beside it repeat; most systems take 255 bytes
LOCK = ".lock"


class _Busy(Exception):
    """Another process holds a lock that was only tried."""


def write(path: Path, content: bytes | str, durable: bool = False, folder: Path | None = None) -> None:
    """Replace a file's content, or create it; text is written as UTF-8, line ends as they are."""
    with replacing(path, durable, folder) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path, durable: bool = False, folder: Path | None = None) -> Iterator[Path]:
    """The path of an empty file, which takes its place when the block ends without an exception.

    ``folder`` is one of the caller's own, on the same disk, to write it in: then there is no lock.
    """
    if folder is not None:
        with _written(folder / f"{os.urandom(8).hex()}.new", path, durable) as beside:
            yield beside
        return
    with _locked(path) as name, _written(name, path, durable) as beside:
        yield beside


def update(path: Path, change: Callable[[bytes | None], bytes], durable: bool = False) -> bytes:
    """Replace a file's content by what ``change`` makes of it, and return that; None stands for no file."""
    with _locked(path) as name:
        try:
            before = path.read_bytes()
        except FileNotFoundError:
            before = None
        after = change(before)
        if after != before:
            with _written(name, path, durable) as beside:
                beside.write_bytes(after)
        return after


@contextlib.contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder inside ``parent``, gone afterwards; those of processes that were killed are removed before."""
    parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        with ProcessLock(parent / f"{prefix}lock", remove=True):
            _sweep(parent, prefix)
            place = Path(held.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=parent)))
            held.enter_context(ProcessLock(place / LOCK))
        yield place


def sync_folder(folder: Path) -> None:
    """Wait until the disk has a folder's names; Windows opens no folders, and needs no such step."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """Hold the lock of a path; the name for its next content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = f".{path.name[:LONGEST_NAME]}"
    with ProcessLock(path.with_name(f"{hidden}.lock"), remove=True) as lock:
        # One at a time needs one name, so that a writer that was killed leaves no more than that.
        yield path.with_name(f"{hidden}.new" if lock.is_held else f"{hidden}.{os.urandom(8).hex()}.new")


@contextlib.contextmanager
def _written(beside: Path, path: Path, durable: bool) -> Iterator[Path]:
    """A new file at ``beside``, renamed to ``path`` at the end, with that one's permissions."""
    beside.unlink(missing_ok=True)  # what a writer that was killed left
    try:
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less the umask
        yield beside
        with contextlib.suppress(FileNotFoundError):
            beside.chmod(stat.S_IMODE(path.stat().st_mode))
        if durable:
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove the folders whose makers hold no lock any more."""

    def refuse() -> None:
        raise _Busy

    for left in [entry for entry in parent.iterdir() if entry.name.startswith(prefix) and entry.is_dir()]:
        with contextlib.suppress(OSError, _Busy), ProcessLock(left / LOCK, refuse) as lock:
            if lock.is_held:
                shutil.rmtree(left)
