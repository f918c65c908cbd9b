"""A folder for what is not yet whole, beside the place where it is to stand: it comes there by one rename.

Who is killed leaves its folder behind. Each holds a lock on its own, which the system releases when it dies,
so that the next one knows which folders are nobody's any more, and removes them.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from helpers.errors import UserError


@contextlib.contextmanager
def unfinished(into: Path, prefix: str, elsewhere: str = "--into") -> Iterator[Path]:
    """A new folder inside ``into``, gone afterwards. A full disk, or one that refuses, is told in a sentence."""
    try:
        into.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            with _locked(into):
                _sweep(into, prefix)
                place = Path(held.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=into)))
                held.enter_context(_locked(place))
            yield place
    except OSError as error:
        raise UserError(
            f"{into} cannot be written to: {error.strerror or error}.", f"make room there, or name another: {elsewhere}"
        ) from error


def _sweep(into: Path, prefix: str) -> None:
    """Remove what those left that were killed."""
    if sys.platform != "win32":  # which locks no folders
        for left in into.glob(f"{prefix}*"):
            with contextlib.suppress(OSError), _locked(left, wait=False):
                shutil.rmtree(left)


@contextlib.contextmanager
def _locked(folder: Path, wait: bool = True) -> Iterator[None]:
    """Hold a folder's lock, if its file system has any; OSError if another process does, and none shall wait."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError) if wait else contextlib.nullcontext():
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)
