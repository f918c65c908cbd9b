"""Tensors as they come over the wire: lists in JSON, or raw bytes; sizes are checked before memory is taken."""

import base64
import math
from functools import cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from helpers.wire.errors import EngineError, invalid, malformed
from helpers.wire.numbers import numbers

# The names of Open Inference, and numpy's.
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
DTYPES |= {f"{'U' * (kind == 'u')}INT{8 * size}": np.dtype(f"<{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)}
NAMES = {dtype: name for name, dtype in DTYPES.items()}

MOST_AXES = 32
MOST_ELEMENTS = 1 << 28

ELEMENTS: dict[str, type] = {"b": bool, "O": str, "f": float}  # by the kind of a numpy type; else whole numbers


def dtype_called(name: str, field: str) -> np.dtype[Any]:
    """The type that a request names."""
    try:
        return DTYPES[name]
    except KeyError:
        raise invalid(field, f"of the type {name[:40]!r}", f"one of {', '.join(DTYPES)}") from None


def name_of(dtype: np.dtype[Any]) -> str:
    """What Open Inference calls a type; text is BYTES there."""
    return NAMES.get(dtype) or NAMES.get(dtype.newbyteorder("<"), "BYTES")


def check_shape(shape: list[int], field: str) -> int:
    """The number of elements of a shape, if it can be one."""
    if len(shape) > MOST_AXES:
        raise invalid(field, f"of {len(shape)} axes", f"at most {MOST_AXES}")
    if any(size < 0 for size in shape):
        raise invalid(field, f"of the shape {str(shape)[:80]}", "axes of 0 or more")
    elements = math.prod(shape)
    # What has no elements must not be too large for numpy in its other axes.
    if elements > MOST_ELEMENTS or (not elements and math.prod(size or 1 for size in shape) > MOST_ELEMENTS):
        raise invalid(field, f"of the shape {str(shape)[:80]}", f"at most {MOST_ELEMENTS:,} elements")
    return elements


def from_json(
    raw: msgspec.Raw, dtype: np.dtype[Any], shape: list[int], field: str, takes_missing: bool = False
) -> NDArray[Any]:
    """An array from a JSON list: flat, or nested as the shape says."""
    elements = check_shape(shape, field)
    flat = long_numbers(raw, dtype, 1)
    if flat is None:
        flat = _flat(raw, dtype, shape, field, takes_missing)
    if len(flat) != elements:
        raise invalid(field, f"{len(flat)} elements", f"{elements}, as its shape {shape} says")
    try:
        return array_of(flat, dtype).reshape(shape)
    except ArithmeticError:
        raise invalid(field, "out of the range of its type", f"numbers that fit into {name_of(dtype)}") from None


def from_bytes(data: memoryview, dtype: np.dtype[Any], shape: list[int], field: str) -> NDArray[Any]:
    """An array that reads the request's own bytes, without a copy where it can."""
    elements = check_shape(shape, field)
    if dtype.kind == "O":
        return _texts_from_bytes(data, elements, field).reshape(shape)
    if len(data) != elements * dtype.itemsize:
        raise invalid(field, f"{len(data)} bytes", f"{elements * dtype.itemsize}, as its shape {shape} says")
    return np.frombuffer(data, dtype).reshape(shape)


def nested(
    raw: bytes | msgspec.Raw,
    dtype: np.dtype[Any],
    axes: int,
    field: str,
    expected: str,
    takes_missing: bool = False,
) -> NDArray[Any]:
    """An array from lists within lists, as deep as it has axes."""
    try:
        values = long_numbers(raw, dtype, axes)
        if values is None:
            values = lists(dtype.kind, axes, takes_missing).decode(raw)
    except msgspec.ValidationError as error:
        if (at := _place_of_null(error)) is not None:
            raise _null(field, at, expected) from None
        raise invalid(field, f"not as the model takes it ({error})", expected) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(f"{field} is not JSON: {error}", field) from None
    try:
        array = array_of(values, dtype)
    except (ValueError, ArithmeticError) as error:
        why = "of lists of different lengths" if "inhomogeneous" in str(error) else "out of the range of its type"
        raise invalid(field, why, expected) from None
    return _with_decoded_texts(array, field) if dtype.kind == "O" else array


def long_numbers(raw: Any, dtype: np.dtype[Any], axes: int, key: str | None = None) -> Any:
    """The quick way for many floats, or None; see ``numbers``."""
    return numbers(memoryview(raw), axes, key) if dtype.kind == "f" else None


@np.errstate(over="raise")
def array_of(values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array of what JSON held; None becomes NaN. Numbers that its type cannot hold are an ArithmeticError."""
    return np.array(values, dtype)


def to_bytes(array: NDArray[Any]) -> bytes | memoryview:
    """The array's bytes in the order of Open Inference; text with the length of each before it."""
    if array.dtype.kind not in "OUS":
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        return memoryview(little.data).cast("B") if little.size else b""
    parts = []
    for text in array.ravel():
        raw = text if isinstance(text, bytes) else str(text).encode()
        parts += [len(raw).to_bytes(4, "little"), raw]
    return b"".join(parts)


def _flat(raw: msgspec.Raw, dtype: np.dtype[Any], shape: list[int], field: str, takes_missing: bool) -> list[Any]:
    """All elements in order. The flat form, which most clients send, is read and checked in one pass."""
    elements = _element(dtype.kind, takes_missing)
    try:
        flat: list[Any] = _flat_decoder(elements).decode(raw)
        return flat
    except msgspec.ValidationError as error:
        wrong = _wrong_elements(error, dtype, field)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(f"{field} is not JSON: {error}", field) from None
    try:
        given = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(f"{field} is not JSON: {error}", field) from None
    if not isinstance(given, list) or not any(isinstance(element, list) for element in given):
        raise wrong
    return _flattened(given, elements, dtype, shape, field)


def _flattened(given: list[Any], elements: Any, dtype: np.dtype[Any], shape: list[int], field: str) -> list[Any]:
    """Lists within lists, exactly as the shape says."""
    level: list[Any] = [given]
    for size in shape:
        if not all(isinstance(row, list) and len(row) == size for row in level):
            raise invalid(field, "not nested as its shape says", f"one flat list, or lists within lists of {shape}")
        level = [element for row in level for element in row]
    try:
        return list(msgspec.convert(level, list[elements]))
    except msgspec.ValidationError as error:
        raise _wrong_elements(error, dtype, field) from None


def _wrong_elements(error: Exception, dtype: np.dtype[Any], field: str) -> EngineError:
    if (at := _place_of_null(error)) is not None:
        return _null(field, at, f"a list of {name_of(dtype)}")
    place = str(error).partition(" - at ")[2].strip("`$")
    return invalid(field, f"of another type at {place}" if place else "of another type", f"a list of {name_of(dtype)}")


def _place_of_null(error: Exception) -> str | None:
    """Where msgspec found null instead of an element; None if it found something else."""
    what, _, place = str(error).partition(" - at ")
    return place.strip("`$") if what.endswith("got `null`") else None


def _null(field: str, place: str, expected: str) -> EngineError:
    return invalid(field, f"null at {place}" if place else "null", f"{expected}, without missing values")


def _texts_from_bytes(data: memoryview, elements: int, field: str) -> NDArray[Any]:
    found, at = [], 0
    while at < len(data):
        if at + 4 > len(data):
            raise invalid(field, "cut short", "four bytes of length before each text")
        length = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + length > len(data):
            raise invalid(field, "cut short", f"{length} bytes, as it says before the text")
        found.append(bytes(data[at + 4 : at + 4 + length]))
        at += 4 + length
        if len(found) > elements:
            break
    if len(found) != elements:
        raise invalid(field, f"{len(found)} texts or more", f"{elements}, as its shape says")
    array = np.empty(elements, object)
    try:
        array[:] = [text.decode() for text in found]
    except UnicodeDecodeError:
        raise invalid(field, "not UTF-8", "text in UTF-8") from None
    return array


def _with_decoded_texts(array: NDArray[Any], field: str) -> NDArray[Any]:
    """Text as it is, and bytes as TensorFlow Serving writes them: {"b64": "…"}."""
    flat = array.ravel()
    for place, value in enumerate(flat):
        if isinstance(value, dict):
            try:
                flat[place] = base64.b64decode(value["b64"], validate=True).decode()
            except (KeyError, ValueError):
                raise invalid(field, "bytes that are not text", 'text, or {"b64": …} of text in UTF-8') from None
    return flat.reshape(array.shape)


@cache
def lists(kind: str, depth: int, takes_missing: bool = False) -> "msgspec.json.Decoder[Any]":
    """A decoder of lists within lists, for a kind of numpy's types."""
    return msgspec.json.Decoder(lists_of(kind, depth, takes_missing))


def lists_of(kind: str, depth: int, takes_missing: bool = False) -> Any:
    """The type of what ``lists`` reads."""
    wanted: Any = str | dict[str, str] if kind == "O" else _element(kind, takes_missing)
    for _ in range(depth):
        wanted = list[wanted]
    return wanted


@cache
def _flat_decoder(elements: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(list[elements])


def _element(kind: str, takes_missing: bool) -> Any:
    return float | None if takes_missing and kind == "f" else ELEMENTS.get(kind, int)
