"""A service's own form: a JSON object with a value for each parameter; or, for a single one, the thing itself.

    {"images": [[…]], "top": 3}          application/json
    the bytes of numpy.save              application/x-npy, for one tensor
    a picture                            image/png, image/jpeg, for one image
    a table with a line of names         text/csv, for one table

The answer is what the method returns, as JSON, unless the caller would rather have another form.
"""

import ast
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from helpers.engine.errors import EngineError, invalid, malformed
from helpers.engine.protocols import pictures, tables
from helpers.engine.protocols.tensors import check_shape, nested
from helpers.engine.service import Api
from helpers.engine.values import ImageValue, JsonValue, TableValue, TensorValue, Value

JSON, NPY, PNG, CSV = "application/json", "application/x-npy", "image/png", "text/csv"
LONGEST_NPY_HEADER = 4096


class Reader:
    """Reads the requests of one API."""

    def __init__(self, api: Api) -> None:
        self.api = api
        fields = [
            (name, value.type, api.defaults[name]) if name in api.defaults else (name, value.type)
            for name, value in api.parameters.items()
            if isinstance(value, JsonValue)
        ]
        raw = [
            (name, msgspec.Raw, msgspec.Raw(b"")) if name in api.defaults else (name, msgspec.Raw)
            for name, value in api.parameters.items()
            if not isinstance(value, JsonValue)
        ]
        asked = msgspec.defstruct(api.name, [*fields, *raw], kw_only=True, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(asked)
        self._fits = set(asked.__struct_fields__)
        self._single = next(iter(api.parameters.values())) if len(api.parameters) == 1 else None

    @property
    def content_types(self) -> list[str]:
        """What a request's body may be."""
        own = {TensorValue: [NPY], ImageValue: [PNG, "image/jpeg"], TableValue: [CSV]}
        return [JSON, *own.get(type(self._single), [])]

    def read(self, body: bytes, content_type: str) -> dict[str, Any]:
        """The values by name; each still to be checked."""
        kind = content_type.partition(";")[0].strip().lower() or JSON
        match self._single:
            case TensorValue(spec) if kind == NPY:
                return {spec.name: npy(body, spec.name)}
            case ImageValue(mode, name) if kind.startswith("image/"):
                return {name: pictures.decode(body, mode, name)}
            case TableValue(name=name) as table if kind == CSV:
                return {name: tables.from_csv(body, table)}
        if kind not in (JSON, "application/x-www-form-urlencoded"):  # the latter is what curl -d says of anything
            there_are = ", ".join(self.content_types)
            raise EngineError(
                "unsupported_media_type", f"{self.api.name} does not read {kind[:80]}; it reads {there_are}"
            )
        return self._from_json(body or b"{}")

    def _from_json(self, body: bytes) -> dict[str, Any]:
        try:
            asked = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise _explained(str(error)) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise malformed(f"the request is not JSON: {error}") from None
        named = {}
        for name, value in self.api.parameters.items():
            given = getattr(asked, name)
            if isinstance(value, JsonValue):
                named[name] = given
            elif bytes(given) or name not in self.api.defaults:
                named[name] = _from_raw(given, value)
        return named


def write(answer: Any, promised: Value, accept: str, content_type: str) -> tuple[bytes, str]:
    """The answer's bytes and what they are: in the form the caller accepts, else in that of its question."""
    if isinstance(promised, ImageValue):
        return pictures.encode(answer), PNG
    if isinstance(promised, TensorValue) and (NPY in accept or (content_type == NPY and JSON not in accept)):
        return to_npy(answer), NPY
    if isinstance(promised, TableValue) and (CSV in accept or (content_type == CSV and JSON not in accept)):
        return tables.to_csv(answer), CSV
    if isinstance(promised, TableValue):
        return msgspec.json.encode(tables.records(answer)), JSON
    return to_json(answer), JSON


def to_json(value: Any) -> bytes:
    """Any answer; arrays become lists. JSON has no NaN and no infinity: null stands for both."""
    return msgspec.json.encode(value.tolist() if isinstance(value, np.ndarray) else value, enc_hook=_plain)


def npy(body: bytes, field: str) -> NDArray[Any]:
    """What numpy.save wrote, read where it lies; nothing in it is ever unpickled."""
    version = body[6:8]
    width = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(version, 0)
    if not body.startswith(b"\x93NUMPY") or not width:
        raise malformed(f"{field} is not in numpy's file format", field)
    start = 8 + width + int.from_bytes(body[8 : 8 + width], "little")
    if start > min(len(body), LONGEST_NPY_HEADER):
        raise malformed(f"the header of {field} is cut short, or too long", field)
    try:
        told = ast.literal_eval(body[8 + width : start].decode("utf-8").strip())
        dtype, shape, columns_first = np.dtype(told["descr"]), list(told["shape"]), bool(told["fortran_order"])
        if dtype.kind not in "biuf" or not all(type(size) is int for size in shape):
            raise TypeError
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        raise malformed(f"the header of {field} is none of an array of numbers", field) from None
    elements = check_shape(shape, field)
    if len(body) - start != elements * dtype.itemsize:
        raise invalid(field, f"{len(body) - start} bytes", f"{elements * dtype.itemsize}, as its shape {shape} says")
    return np.frombuffer(body, dtype, offset=start).reshape(shape, order="F" if columns_first else "C")


def to_npy(array: NDArray[Any]) -> bytes:
    """The array in numpy's file format."""
    told = f"{{'descr': {array.dtype.str!r}, 'fortran_order': False, 'shape': {array.shape!r}, }}"
    told += " " * (-(len(told) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(told).to_bytes(2, "little") + told.encode() + array.tobytes()


def _from_raw(raw: msgspec.Raw, value: Value) -> Any:
    match value:
        case TensorValue(spec) if spec.dtype is not None:
            return nested(raw, spec.dtype, len(spec.shape), spec.name, str(spec))
        case ImageValue(mode, name):
            return pictures.decode(pictures.from_json(raw, name), mode, name)
        case TableValue():
            return tables.from_json(raw, value)
    raise AssertionError(value)


def _explained(said: str) -> EngineError:
    """msgspec's sentence, as an error of one field."""
    what, _, place = said.partition(" - at `$")
    field = place.strip("`.").partition(".")[0].partition("[")[0]
    if not field and "field `" in what:
        field = what.partition("field `")[2].partition("`")[0]
        missing = "missing" in what
        return invalid(field[:80], "missing" if missing else "not a parameter", "a value for it" if missing else "none")
    return EngineError("invalid_input", f"{field or 'the request'}: {what[:300]}", field[:80] or None)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an answer cannot hold a {type(value).__name__}: it has no form in JSON")
