"""Numbers in JSON: long lists of them read straight into an array, and arrays written as short as their type allows.

simdjson reads in a third of the time. Only what is right is read here: whatever is not, or is of
another kind, is left to the slower reader, which can say what is wrong with it.

orjson writes 0.1 of 32 bits as 0.1, where its exact value would be 0.10000000149011612: half as many
bytes, in half the time, and read back as 32 bits it is the same number. (16 bits are written as 32.)
"""

import math
import threading
from typing import Any

import msgspec
import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray

# In bytes: shorter ones gain nothing, and a reader keeps the memory that its longest one took.
SHORT, LONG = 1 << 12, 1 << 22
BRACKET = ord("[")


class _Reader(threading.local):
    """One for each thread, since one reads one document at a time."""

    def __init__(self) -> None:
        self.parser = simdjson.Parser()


_reader = _Reader()


def numbers(raw: bytes | memoryview, axes: int, key: str | None = None) -> NDArray[np.float64] | None:
    """What ``raw`` holds, if it is lists of numbers within ``axes`` levels, all of one length.

    With a key: if it is an object with nothing else in it.
    """
    if not SHORT <= len(raw) <= LONG:
        return None
    try:
        document: Any = _reader.parser.parse(raw)
        if key is not None:
            document = document[key] if len(document) == 1 else None
        shape, lists = _shape(document, axes)
        flat: NDArray[np.float64] = np.frombuffer(document.as_buffer(of_type="d"))
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError):
        return None
    # A buffer does not show where lists began: with one list too many, numbers lie deeper than they should.
    if flat.size != math.prod(shape) or not flat.size:
        return None
    if np.count_nonzero(np.frombuffer(raw, np.uint8) == BRACKET) != lists:
        return None
    return flat.reshape(shape)


def as_json(array: NDArray[Any]) -> bytes:
    """The array as lists within lists. JSON has no NaN and no infinity: null stands for both."""
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        return msgspec.json.encode(as_lists(array))
    try:
        return orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError:  # it lies in another order than one after the other, or its bytes do
        native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        return orjson.dumps(native, option=orjson.OPT_SERIALIZE_NUMPY)


def as_lists(array: NDArray[Any]) -> Any:
    """Python's lists and numbers; of the numbers that are written alike, the one that is written shortest."""
    if array.dtype.kind != "f" or array.dtype.itemsize >= 8 or not np.isfinite(array).all():
        return array.tolist()
    if array.ndim == 0:
        return as_lists(array.reshape(1))[0]
    return orjson.loads(as_json(array))


def _shape(document: Any, axes: int) -> tuple[list[int], int]:
    """How long the lists of each level are, and how many lists there are."""
    level, shape, lists = [document], [len(document)], 1
    for _ in range(axes - 1):
        level = [row for part in level for row in part]
        lists += len(level)
        (size,) = {len(row) for row in level}
        shape.append(size)
    return shape, lists
