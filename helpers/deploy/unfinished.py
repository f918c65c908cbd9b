"""A temporary folder for what is built inside a folder that the user named; a disk that refuses is a UserError."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from helpers import atomic_files
from helpers.errors import UserError


@contextlib.contextmanager
def unfinished(into: Path, prefix: str, elsewhere: str = "--into") -> Iterator[Path]:
    """A new folder inside ``into``, gone afterwards; what is whole by then has been moved out of it."""
    try:
        with atomic_files.temporary_folder(into, prefix) as place:
            yield place
    except OSError as error:
        raise UserError(
            f"{into} cannot be written to: {error.strerror or error}.", f"make room there, or name another: {elsewhere}"
        ) from error
