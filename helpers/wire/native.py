"""A service's own form: a JSON object with a value for each parameter; or, for a single one, the thing itself.

    {"images": [[…]], "top": 3}          application/json
    the bytes of numpy.save              application/x-npy, for one tensor
    a picture                            image/png, image/jpeg, for one image
    a table with a line of names         text/csv, for one table

The answer is what the method returns, as JSON, unless the caller would rather have another form.
"""

import ast
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from helpers.wire import pictures, tables
from helpers.wire.errors import EngineError, invalid, malformed
from helpers.wire.numbers import as_json, as_lists
from helpers.wire.tensors import check_shape, nested
from helpers.wire.values import ImageValue, JsonValue, TableValue, TensorValue, Value

JSON, NPY, PNG, CSV = "application/json", "application/x-npy", "image/png", "text/csv"
LONGEST_NPY_HEADER = 4096
_ABSENT: Any = msgspec.Raw(b"")


class Reader:
    """Reads the requests of one API."""

    def __init__(self, name: str, parameters: Mapping[str, Value], defaults: Collection[str]) -> None:
        self.name, self.parameters = name, parameters
        self.has_pictures = any(isinstance(value, ImageValue) for value in parameters.values())
        fields: list[Any] = []  # of two of one name in an object the last one counts, as with most readers of JSON
        for field, value in parameters.items():
            kind = value.type if isinstance(value, JsonValue) else msgspec.Raw
            fields.append((field, kind, msgspec.field(default=_ABSENT)) if field in defaults else (field, kind))
        asked = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(asked)
        self._single = next(iter(parameters.values())) if len(parameters) == 1 else None

    @property
    def content_types(self) -> list[str]:
        """What a request's body may be."""
        own = {TensorValue: [NPY], ImageValue: [PNG, "image/jpeg"], TableValue: [CSV]}
        return [JSON, *own.get(type(self._single), [])]

    def read(self, body: bytes | memoryview, content_type: str) -> dict[str, Any]:
        """The values by name; each still to be checked."""
        kind = _kind(content_type) or JSON
        match self._single:
            case TensorValue(spec) if kind == NPY:
                return {spec.name: npy(body, spec.name)}
            case ImageValue(mode, name) if kind.startswith("image/"):
                return {name: pictures.decode(body, mode, name)}
            case TableValue(name=name) as table if kind == CSV:
                return {name: tables.from_csv(body, table)}
        if kind not in (JSON, "application/x-www-form-urlencoded"):  # the latter is what curl -d says of anything
            there_are = ", ".join(self.content_types)
            raise EngineError("unsupported_media_type", f"{self.name} does not read {kind[:80]}; it reads {there_are}")
        return self._from_json(body or b"{}")

    def _from_json(self, body: bytes | memoryview) -> dict[str, Any]:
        try:
            asked = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise self._explained(str(error)) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise malformed(f"the request is not JSON: {error}") from None
        named = {}
        for name, value in self.parameters.items():
            given = getattr(asked, name)
            if given is not _ABSENT:
                named[name] = given if isinstance(value, JsonValue) else _from_raw(given, value)
        return named

    def _explained(self, said: str) -> EngineError:
        """msgspec's sentence, as an error of one field."""
        what, _, place = said.partition(" - at `$")
        field = place.strip("`.").partition(".")[0].partition("[")[0][:80]
        if not field and "field `" in what:
            field = what.partition("field `")[2].partition("`")[0][:80]
            if "missing" in what:
                return invalid(field, "missing", "a value for it")
            return invalid(field, "not a parameter", f"one of {', '.join(self.parameters) or 'none'}")
        expected = what.removeprefix("Expected ").partition(", got ")[0][:300] if what.startswith("Expected ") else None
        return EngineError("invalid_input", f"{field or 'the request'}: {what[:300]}", field or None, expected)


def write(answer: Any, promised: Value, accept: str, content_type: str) -> tuple[bytes, str]:
    """The answer's bytes and what they are: in the form the caller accepts, else in that of its question."""
    if isinstance(promised, ImageValue):
        return pictures.encode(answer), PNG
    own = CSV if isinstance(promised, TableValue) else NPY
    wants_own = own in accept or (_kind(content_type) == own and JSON not in accept)
    match promised:
        case TensorValue(spec) if wants_own and spec.dtype != object:  # texts have no form there
            return to_npy(answer), NPY
        case TableValue():
            return (tables.to_csv(answer), CSV) if wants_own else (to_json(tables.records(answer)), JSON)
    return to_json(answer), JSON


def to_json(value: Any) -> bytes:
    """Any answer; arrays become lists. JSON has no NaN and no infinity: null stands for both."""
    return as_json(value) if isinstance(value, np.ndarray) else msgspec.json.encode(value, enc_hook=_plain)


def npy(body: bytes | memoryview, field: str) -> NDArray[Any]:
    """What numpy.save wrote, read where it lies; nothing in it is ever unpickled."""
    head = bytes(body[:LONGEST_NPY_HEADER])
    width = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(head[6:8], 0)
    if not head.startswith(b"\x93NUMPY") or not width:
        raise malformed(f"{field} is not in numpy's file format", field)
    start = 8 + width + int.from_bytes(head[8 : 8 + width], "little")
    if start > min(len(body), LONGEST_NPY_HEADER):
        raise malformed(f"the header of {field} is cut short, or too long", field)
    try:
        told = ast.literal_eval(head[8 + width : start].decode("utf-8").strip())
        dtype, shape, columns_first = np.dtype(told["descr"]), list(told["shape"]), bool(told["fortran_order"])
        if dtype.kind not in "biuf" or not all(type(size) is int for size in shape):
            raise TypeError
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        raise malformed(f"the header of {field} is none of an array of numbers", field) from None
    elements = check_shape(shape, field)
    if len(body) - start != elements * dtype.itemsize:
        raise invalid(field, f"{len(body) - start} bytes", f"{elements * dtype.itemsize}, as its shape {shape} says")
    array = np.frombuffer(body, dtype, offset=start).reshape(shape, order="F" if columns_first else "C")
    return array.astype(dtype.newbyteorder("="), order="C")  # a copy: a method may change in place what it is given


def to_npy(array: NDArray[Any]) -> bytes:
    """The array in numpy's file format."""
    if array.dtype.kind not in "biuf":
        raise TypeError(f"an array of {array.dtype} is no array of numbers, and cannot be sent as one")
    told = f"{{'descr': {array.dtype.str!r}, 'fortran_order': False, 'shape': {array.shape!r}, }}"
    told += " " * (-(len(told) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(told).to_bytes(2, "little") + told.encode() + array.tobytes()


def _from_raw(raw: msgspec.Raw, value: Value) -> Any:
    match value:
        case TensorValue(spec) if spec.dtype is not None:
            return nested(raw, spec.dtype, len(spec.shape), spec.name, str(spec), spec.takes_missing)
        case ImageValue(mode, name):
            return pictures.decode(pictures.from_json(raw, name), mode, name)
        case TableValue():
            return tables.from_json(raw, value)
    raise AssertionError(value)


def _kind(content_type: str) -> str:
    """A content type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return msgspec.Raw(as_json(value))
    if isinstance(value, np.generic):
        return as_lists(np.asarray(value))
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an answer cannot hold a {type(value).__name__}: it has no form in JSON")
