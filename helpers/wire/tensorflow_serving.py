"""TensorFlow Serving's REST form: rows as ``instances``, or columns as ``inputs``.

    {"instances": [[1, 2], [3, 4]]}               one input; a row each
    {"instances": [{"a": [1], "b": 2}, …]}        several inputs, by name
    {"inputs": {"a": [[1], [3]], "b": [2, 4]}}    the same in columns

The answer has the form of the question: ``predictions`` for rows, ``outputs`` for columns.

    {"examples": [{"x": [1, 2]}, …], "context": {…}}    rows to classify or to regress

The answer to these is a ``result``: for each row its labels with their scores, or its value.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from numpy.typing import NDArray

from helpers.runtime import TensorSpec
from helpers.wire.errors import EngineError, invalid, malformed
from helpers.wire.numbers import as_json, as_lists
from helpers.wire.tensors import array_of, lists_of, long_numbers, nested

SIGNATURE = "serving_default"


class _Asked(msgspec.Struct):
    instances: msgspec.Raw = msgspec.Raw(b"")
    inputs: msgspec.Raw = msgspec.Raw(b"")
    signature_name: str = SIGNATURE


class _Examples(msgspec.Struct):
    examples: list[dict[str, msgspec.Raw]]
    context: dict[str, msgspec.Raw] = {}
    signature_name: str = SIGNATURE


_request = msgspec.json.Decoder(_Asked)
_examples = msgspec.json.Decoder(_Examples)
_rows_by_name = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_columns_by_name = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode(body: bytes | memoryview, specs: Sequence[TensorSpec]) -> tuple[dict[str, NDArray[Any]], bool]:
    """Named tensors, and whether they came as rows."""
    if len(specs) == 1 and (plain := _plain_rows(body, specs[0])) is not None:
        return {specs[0].name: plain}, True
    asked = _read_request(_request, body)
    rows, columns = bytes(asked.instances), bytes(asked.inputs)
    if bool(rows) == bool(columns):
        raise malformed("the request needs either instances or inputs")
    if columns:
        if len(specs) == 1 and not columns.lstrip().startswith(b"{"):
            return {specs[0].name: _tensor(columns, specs[0], len(specs[0].shape))}, False
        by_name = _read(_columns_by_name, columns, "inputs")
        return {name: _tensor(raw, _called(name, specs), None) for name, raw in by_name.items()}, False
    if not rows.lstrip(b" \n\r\t[").startswith(b"{") or b'{"b64"' in rows[:64].replace(b" ", b""):
        if len(specs) != 1:
            names = ", ".join(spec.name for spec in specs)
            raise invalid("instances", "rows without names", f"an object for each row, with {names}")
        return {specs[0].name: _tensor(rows, specs[0], len(specs[0].shape))}, True
    return _columns_of(_read(_rows_by_name, rows, "instances"), specs), True


def encode(answers: Mapping[str, NDArray[Any]], as_rows: bool) -> bytes:
    """The answers in the form in which they were asked for; with a single output its name is left out."""
    if len(answers) == 1:
        (array,) = answers.values()
        return (b'{"predictions":%b}' if as_rows else b'{"outputs":%b}') % as_json(array)
    if not as_rows:
        return msgspec.json.encode({"outputs": {name: msgspec.Raw(as_json(array)) for name, array in answers.items()}})
    if any(array.ndim == 0 for array in answers.values()) or len({len(array) for array in answers.values()}) > 1:
        raise invalid("instances", "rows, which the outputs of this model do not have", "inputs, in columns")
    rows = [dict(zip(answers, row, strict=True)) for row in zip(*map(as_lists, answers.values()), strict=True)]
    return msgspec.json.encode({"predictions": rows})


def decode_examples(body: bytes | memoryview, specs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """Named tensors from examples, each of which also has the features of the context."""
    asked = _read_request(_examples, body)
    return _columns_of([asked.context | example for example in asked.examples], specs, "examples")


def scores_among(outputs: Sequence[TensorSpec], verb: str) -> TensorSpec | None:
    """The output that answers to ``classify`` (a number for each class) or to ``regress`` (one number), if any."""
    for spec in outputs:
        fits = len(spec.shape) == 2 if verb == "classify" else len(spec.shape) == 1 or spec.shape[1:] == (1,)
        if fits and spec.dtype is not None and spec.dtype.kind == "f":
            return spec
    return None


def encode_scores(scores: NDArray[Any], verb: str, classes: Sequence[Any] = ()) -> bytes:
    """The result for each example. A class without a name is called by its number."""
    if verb == "regress":
        return b'{"result":%b}' % as_json(scores.reshape(len(scores)))
    labels = [str(name) for name in classes] if len(classes) == scores.shape[1] else range(scores.shape[1])
    return msgspec.json.encode({"result": [list(zip(map(str, labels), row, strict=True)) for row in as_lists(scores)]})


def _plain_rows(body: bytes | memoryview, spec: TensorSpec) -> NDArray[Any] | None:
    """Rows for the only input, as most callers send them: read in one pass. None if that is not what they are."""
    if spec.dtype is None or spec.dtype.kind == "O":
        return None
    try:
        if (found := long_numbers(body, spec.dtype, len(spec.shape), "instances")) is not None:
            return array_of(found, spec.dtype)
        asked = _rows_decoder(len(spec.shape), spec.dtype.kind, spec.takes_missing).decode(body)
        return array_of(asked.instances, spec.dtype) if asked.signature_name == SIGNATURE else None
    except (msgspec.DecodeError, RecursionError, ValueError, ArithmeticError):
        return None  # something is wrong, or in another form: the slower way finds out what


@cache
def _rows_decoder(axes: int, kind: str, takes_missing: bool) -> "msgspec.json.Decoder[Any]":
    rows = ("instances", lists_of(kind, axes, takes_missing))
    asked = msgspec.defstruct("Rows", [rows, ("inputs", None, None), ("signature_name", str, SIGNATURE)])
    return msgspec.json.Decoder(asked)


def _columns_of(
    rows: list[dict[str, msgspec.Raw]], specs: Sequence[TensorSpec], field: str = "instances"
) -> dict[str, NDArray[Any]]:
    """Rows by name, turned into one tensor for each name."""
    if not rows:
        raise invalid(field, "empty", "at least one row")
    names = rows[0].keys()
    if any(row.keys() != names for row in rows):
        raise invalid(field, "rows with different names", "the same names in each row")
    found = {}
    for name in names:
        spec = _called(name, specs)
        values = [bytes(row[name]) for row in rows]
        if field == "examples" and spec.shape[1:] == (1,):  # a list of one may be told as the value itself
            values = [value if value.startswith(b"[") else b"[" + value + b"]" for value in values]
        joined = b"[" + b",".join(values) + b"]"
        found[name] = _tensor(joined, spec, len(spec.shape))
    return found


def _tensor(raw: bytes | msgspec.Raw, spec: TensorSpec, axes: int | None) -> NDArray[Any]:
    if spec.dtype is None:
        raise EngineError("invalid_input", f"{spec.name} is no tensor and cannot be sent", spec.name)
    depth = len(spec.shape) if axes is None else axes
    return nested(raw, spec.dtype, depth, spec.name, str(spec), spec.takes_missing)


def _read_request(decoder: Any, body: bytes | memoryview) -> Any:
    asked = _read(decoder, body, "the request")
    if asked.signature_name != SIGNATURE:
        raise invalid("signature_name", repr(asked.signature_name[:80]), repr(SIGNATURE))
    return asked


def _read(decoder: Any, raw: bytes | memoryview | msgspec.Raw, what: str) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise malformed(f"{what} is not as it should be: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(f"{what} is not JSON: {error}") from None


def _called(name: str, specs: Sequence[TensorSpec]) -> TensorSpec:
    for spec in specs:
        if spec.name == name:
            return spec
    raise invalid(name[:80], "not an input of the model", f"the inputs {', '.join(spec.name for spec in specs)}")
