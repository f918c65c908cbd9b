"""The Open Inference Protocol, version 2: JSON, and JSON followed by raw tensors.

A request with binary tensors is a JSON header, whose length the HTTP header
``Inference-Header-Content-Length`` tells, and then the bytes of each such tensor in turn.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from numpy.typing import NDArray

from helpers.wire.errors import invalid, malformed
from helpers.wire.numbers import as_json
from helpers.wire.tensors import dtype_called, from_bytes, from_json, name_of, to_bytes

HEADER_LENGTH = "inference-header-content-length"


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None  # some clients write null for what they leave out
    data: msgspec.Raw = msgspec.Raw(b"")


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    outputs: list[_Output] | None = None
    parameters: dict[str, Any] | None = None


class Asked(msgspec.Struct):
    """What a caller asked: tensors by name, and which outputs it wants, each with whether as bytes; else all alike."""

    id: str
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, bool] = {}
    all_binary: bool = False


_decoder = msgspec.json.Decoder(_Request)


def decode(body: bytes | memoryview, header_length: str | None = None, missing: Collection[str] = ()) -> Asked:
    """A request's bytes as named tensors, or an error that says what is wrong with which.

    ``missing`` names the inputs in which null is read as NaN.
    """
    head, tail = _divided(body, header_length)
    try:
        request = _decoder.decode(head)
    except msgspec.ValidationError as error:
        raise malformed(f"the request is not as it should be: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(f"the request is not JSON: {error}") from None
    inputs: dict[str, NDArray[Any]] = {}
    at = 0
    for given in request.inputs:
        called = given.name[:80]  # in what is told of it
        if given.name in inputs:
            raise invalid(called, "there twice", "each input once")
        dtype = dtype_called(given.datatype, called)
        size = _parameter(given, "binary_data_size")
        if size is None:
            if bytes(memoryview(given.data)[:5]) in (b"", b"null"):
                raise invalid(called, "without data", "data, or binary_data_size and bytes after the JSON")
            inputs[given.name] = from_json(given.data, dtype, given.shape, called, given.name in missing)
            continue
        if type(size) is not int or size < 0 or at + size > len(tail):
            left = len(tail) - at
            raise invalid(called, f"of {size!r:.40} bytes", f"no more than the {left} that follow")
        inputs[given.name] = from_bytes(tail[at : at + size], dtype, given.shape, called)
        at += size
    if at != len(tail):
        raise malformed(f"{len(tail) - at} bytes follow that no input claims")
    all_binary = _parameter(request, "binary_data_output") is True
    return Asked(
        id=request.id or "",
        inputs=inputs,
        outputs={
            wanted.name: _parameter(wanted, "binary_data", all_binary) is True for wanted in request.outputs or ()
        },
        all_binary=all_binary,
    )


def encode(
    model: str, version: str, asked: Asked, answers: Mapping[str, NDArray[Any]]
) -> tuple[Sequence[bytes | memoryview], int | None]:
    """The answer in parts, and the length of its JSON if bytes follow it."""
    outputs, parts = [], []
    for name, as_bytes in (asked.outputs or dict.fromkeys(answers, asked.all_binary)).items():
        if name not in answers:
            raise invalid("outputs", f"{name[:80]!r}", f"one of {', '.join(answers)}")
        array = answers[name]
        told: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": name_of(array.dtype)}
        if as_bytes:
            raw = to_bytes(array)
            told["parameters"] = {"binary_data_size": len(raw)}
            parts.append(raw)
        else:
            told["data"] = _plain(array)
        outputs.append(told)
    answer: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if asked.id:
        answer["id"] = asked.id
    head = msgspec.json.encode(answer)
    return [head, *parts], (len(head) if parts else None)


def _parameter(of: _Input | _Output | _Request, name: str, default: Any = None) -> Any:
    return of.parameters.get(name, default) if of.parameters else default


def _plain(array: NDArray[Any]) -> Any:
    """The elements in order."""
    if array.dtype.kind in "OS":
        return [text.decode(errors="replace") if isinstance(text, bytes) else text for text in array.ravel().tolist()]
    return msgspec.Raw(as_json(array.ravel()))


def _divided(body: bytes | memoryview, header_length: str | None) -> tuple[memoryview, memoryview]:
    """The JSON, and what follows it."""
    whole = memoryview(body)
    if header_length is None:
        return whole, whole[len(whole) :]
    if not header_length.isascii() or not header_length.isdigit() or len(header_length) > 18:
        raise malformed(f"{HEADER_LENGTH} is {header_length[:40]!r}, and should be a number of bytes")
    length = int(header_length)
    if length > len(whole):
        raise malformed(f"{HEADER_LENGTH} is {length}, and the body has {len(whole)} bytes")
    return whole[:length], whole[length:]
