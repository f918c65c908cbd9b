"""Arrays that are made once and kept in ``.lab/zoo``: the weights of what was trained here.

They are kept as plain arrays, not pickles: opening them runs no code. A file that
was damaged is made anew, and of two notebooks that ask at once one makes it while
the other waits.
"""

import hashlib
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.places import lab_home
from helpers.progress_line import ProgressLine

Arrays = dict[str, NDArray[Any]]


def kept(
    name: str, recipe: Mapping[str, object], make: Callable[[], Mapping[str, NDArray[Any]]], title: str = ""
) -> Arrays:
    """The arrays that ``make`` returns, made once for each recipe.

    ``recipe`` holds whatever decides how they turn out (versions, seeds, sizes): a
    change of it makes them anew. ``title`` says what they are to a person who waits for them.
    """
    from filelock import FileLock

    digest = hashlib.sha256(repr(sorted(recipe.items())).encode()).hexdigest()[:12]
    path = lab_home() / "zoo" / f"{name}-{digest}.npz"
    found = read_whole(path)
    if found is not None:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    title = title or name
    line = ProgressLine(f"Training {title}, once on this machine", f"Trained and kept {title} in")
    with line, FileLock(path.with_suffix(".lock")):
        found = read_whole(path)  # another process may have made it meanwhile
        if found is None:
            found = dict(make())
            write_whole(path, found)
    return found


def write_whole(path: Path, arrays: Arrays) -> None:
    """Write the arrays behind their digest; the file appears complete or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own options
    content = buffer.getvalue()
    beside = path.with_suffix(f".{os.getpid()}.new")
    beside.write_bytes(hashlib.sha256(content).digest() + content)
    beside.replace(path)


def read_whole(path: Path) -> Arrays | None:
    """The arrays, or None if there is no file or its digest does not fit."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    digest, content = raw[:32], raw[32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
