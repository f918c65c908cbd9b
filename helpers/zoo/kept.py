"""Arrays that are made once and kept in ``.lab/zoo``: the weights of what was trained here.

They are kept as plain arrays, not pickles: opening them runs no code. A file that
was damaged is made anew, and of two notebooks that ask at once one makes it while
the other waits.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers import atomic_files
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
    digest = hashlib.sha256(repr(sorted(recipe.items())).encode()).hexdigest()[:12]
    path = lab_home() / "zoo" / f"{name}-{digest}.npz"
    found = read_whole(path)
    if found is not None:
        return found

    def made_once(raw: bytes | None) -> bytes:
        if raw is not None and _arrays(raw) is not None:  # another process made it meanwhile
            return raw
        return _with_digest(make())

    title = title or name
    with ProgressLine(f"Training {title}, once on this machine", f"Trained and kept {title} in"):
        found = _arrays(atomic_files.update(path, made_once))
    assert found is not None
    return found


def read_whole(path: Path) -> Arrays | None:
    """The arrays, or None if there is no file or its digest does not fit."""
    try:
        return _arrays(path.read_bytes())
    except OSError:
        return None


def _with_digest(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own options
    content = buffer.getvalue()
    return hashlib.sha256(content).digest() + content


def _arrays(raw: bytes) -> Arrays | None:
    digest, content = raw[:32], raw[32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
