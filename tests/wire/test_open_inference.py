"""Open Inference v2: round trips, and bytes of every kind of wrongness, none of which is our error."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers.wire.errors import EngineError
from helpers.wire.open_inference import Asked, decode, encode
from helpers.wire.tensors import DTYPES, NAMES, to_bytes

NUMBERS = [dtype for name, dtype in DTYPES.items() if name != "BYTES"]
TENSORS = st.sampled_from(NUMBERS).flatmap(
    lambda dtype: arrays.arrays(
        dtype,
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None,
    )
)
TEXTS = arrays.arrays(object, arrays.array_shapes(max_dims=2, max_side=3), elements=st.text(max_size=8))


def asked_with(tensors: dict[str, np.ndarray], binary: bool, nested: bool = False) -> tuple[bytes, str | None]:
    """A request as a client would send it."""
    inputs, tail = [], b""
    for name, array in tensors.items():
        told: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": NAMES[array.dtype]}
        if binary:
            raw = bytes(to_bytes(array))
            told["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            told["data"] = array.tolist() if nested else array.ravel().tolist()
        inputs.append(told)
    head = json.dumps({"id": "7", "inputs": inputs}).encode()
    return head + tail, str(len(head)) if binary else None


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and np.array_equal(one, other)


@given(TENSORS | TEXTS, st.booleans(), st.booleans())
def test_a_tensor_arrives_as_it_was_sent(array: np.ndarray, binary: bool, nested: bool) -> None:
    if array.dtype == np.float16 and not binary:
        array = array.astype(np.float32)
    if array.ndim == 0:
        nested = False
    body, length = asked_with({"x": array}, binary, nested)
    asked = decode(body, length)
    assert asked.id == "7" and same(asked.inputs["x"], array)


@given(TENSORS | TEXTS, st.booleans())
def test_an_answer_reads_as_it_was_given(array: np.ndarray, binary: bool) -> None:
    parts, length = encode("net", "3", Asked("7", {}, all_binary=binary), {"y": array})
    whole = b"".join(parts)
    head = json.loads(whole[:length] if length else whole)
    assert (head["model_name"], head["model_version"], head["id"]) == ("net", "3", "7")
    (told,) = head["outputs"]
    request = {"inputs": [told]}
    again = json.dumps(request).encode()
    tail = whole[length:] if length else b""
    assert same(decode(again + tail, str(len(again)) if length else None).inputs["y"], array)


def test_several_binary_tensors_follow_in_order() -> None:
    tensors = {"a": np.arange(6, dtype="<i4").reshape(2, 3), "b": np.ones((1, 2), "<f4"), "c": np.array([True])}
    body, length = asked_with(tensors, binary=True)
    found = decode(body, length).inputs
    assert list(found) == ["a", "b", "c"] and all(same(found[name], tensors[name]) for name in tensors)


def test_binary_data_is_not_copied() -> None:
    body, length = asked_with({"x": np.arange(1000, dtype="<f4")}, binary=True)
    found = decode(body, length).inputs["x"]
    assert not found.flags.owndata and np.shares_memory(found, np.frombuffer(body, np.uint8))


def test_outputs_that_were_asked_for_and_how() -> None:
    request = {
        "inputs": [],
        "outputs": [{"name": "b", "parameters": {"binary_data": True}}, {"name": "a"}],
    }
    asked = decode(json.dumps(request).encode())
    parts, length = encode("net", "1", asked, {"a": np.zeros(2, "<f4"), "b": np.ones(2, "<f4"), "c": np.ones(9)})
    head = json.loads(parts[0])
    assert length == len(parts[0]) and [told["name"] for told in head["outputs"]] == ["b", "a"]
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 8} and "data" not in head["outputs"][0]
    assert head["outputs"][1]["data"] == [0, 0] and bytes(parts[1]) == np.ones(2, "<f4").tobytes()
    with pytest.raises(EngineError, match="outputs is 'z'"):
        encode("net", "1", Asked("", {}, outputs={"z": False}), {"a": np.zeros(2)})


def one_input(**changes: Any) -> bytes:
    told = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]} | changes
    return json.dumps({"inputs": [{key: value for key, value in told.items() if value is not ...}]}).encode()


NESTED = b'{"inputs": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
NESTED_DATA = one_input(data=...)[:-3] + b', "data": ' + b"[" * 200_000 + b"]" * 200_000 + b"}]}"


@pytest.mark.parametrize(
    ("body", "length", "status", "said"),
    [
        (b"", None, 400, "not JSON"),
        (b"{", None, 400, "not JSON"),
        (b"[]", None, 400, "Expected `object`"),
        (b"\xff\xfe", None, 400, "not JSON"),
        (b"{}", None, 400, "missing required field `inputs`"),
        (NESTED, None, 400, "not (JSON|as it should be)"),
        (NESTED_DATA, None, 400, "not JSON"),
        (one_input(shape="2"), None, 400, r"inputs\[0\]\.shape"),
        (one_input(shape=[2, -2]), None, 422, "axes of 0 or more"),
        (one_input(shape=[2, 3]), None, 422, r"4 elements; expected 6, as its shape \[2, 3\] says"),
        (one_input(shape=[2**40, 2**40]), None, 422, "at most"),
        (one_input(shape=[2**70]), None, 422, "at most 268,435,456"),
        (one_input(shape=[10**4000, 10**4000]), None, 422, "at most 268,435,456"),
        (one_input(shape=[-(10**4000)] * 2), None, 422, "axes of 0 or more"),
        (one_input(shape=[0, 10**4000], data=[]), None, 422, "at most 268,435,456"),
        (one_input(shape=[0] + [2**28] * 9, data=[]), None, 422, "at most 268,435,456"),
        (one_input(shape=[0, 2**62], data=..., parameters={"binary_data_size": 0}), None, 422, "at most 268,435,456"),
        (one_input(shape=[1] * 100), None, 422, "100 axes"),
        (one_input(name="n" * 10_000, shape=[3]), None, 422, "nnn is 4 elements"),
        (one_input(shape=[0, 2]), None, 422, "4 elements; expected 0"),
        (one_input(datatype="FLOAT"), None, 422, "of the type 'FLOAT'; expected one of BOOL"),
        (one_input(data=...), None, 422, "without data"),
        (one_input(data=["a"] * 4), None, 422, "of another type"),
        (
            one_input(data=[1, 2, 3, None]),
            None,
            422,
            r"x is null at \[3\]; expected a list of FP32, without missing values",
        ),
        (one_input(datatype="BYTES", data=["?"] * 4).replace(b"?", b"\xff"), None, 400, "not JSON"),
        (one_input(datatype="BYTES", data=[["?"] * 2] * 2).replace(b"?", b"\xff"), None, 400, "not JSON"),
        (one_input(datatype="BYTES", data=["?"] * 4).replace(b"?", b"\\ud800"), None, 400, "not JSON"),
        (one_input(data=[[1, 2], [3]]), None, 422, "not nested as its shape says"),
        (one_input(data=[[1, 2, 3], [4]]), None, 422, "not nested as its shape says"),
        (one_input(data=[[[1, 2], [3, 4]]]), None, 422, "not nested as its shape says"),
        (one_input(data=[[1, 2], [3, "a"]]), None, 422, "of another type"),
        (one_input(data=7), None, 422, "not nested|of another type"),
        (one_input(datatype="UINT8", data=[1, 2, 3, 256]), None, 422, "out of the range of its type"),
        (one_input(datatype="INT8", data=[1, 2, 3, -129]), None, 422, "out of the range of its type"),
        (one_input(datatype="INT64", data=[1, 2, 3, 10**30]), None, 422, "of another type|out of the range"),
        (one_input(data=..., parameters={"binary_data_size": 16}), None, 422, "no more than the 0 that follow"),
        (one_input(data=..., parameters={"binary_data_size": -1}), None, 422, "of -1 bytes"),
        (one_input(data=..., parameters={"binary_data_size": True}), None, 422, "of True bytes"),
        (one_input(data=..., parameters={"binary_data_size": 1e300}), None, 422, "bytes; expected no more"),
        (one_input(), "-1", 400, "should be a number of bytes"),
        (one_input(), "1e3", 400, "should be a number of bytes"),
        (one_input(), "²", 400, "should be a number of bytes"),
        (one_input(), "9" * 40, 400, "should be a number of bytes"),
        (one_input(), "99999", 400, "and the body has"),
        (one_input(), "5", 400, "not JSON"),
        (one_input() + b"more", str(len(one_input())), 400, "4 bytes follow that no input claims"),
        (json.dumps({"inputs": [json.loads(one_input())["inputs"][0]] * 2}).encode(), None, 422, "there twice"),
    ],
)
def test_what_is_wrong_is_told_as_the_callers_mistake(body: bytes, length: str | None, status: int, said: str) -> None:
    with pytest.raises(EngineError, match=said) as raised:
        decode(body, length)
    assert raised.value.status == status
    told = msgspec.json.decode(raised.value.body())
    assert told["code"] and told["error"] and len(told["error"]) < 400


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"\x05\0\0\0abc", "cut short"), (b"\x01\0", "cut short"), (b"\x01\0\0\0\xff", "not UTF-8"), (b"", "0 texts")],
)
def test_texts_that_lie_about_their_length(data: bytes, said: str) -> None:
    head = json.dumps(
        {"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}]}
    ).encode()
    with pytest.raises(EngineError, match=said):
        decode(head + data, str(len(head)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
INPUT = st.fixed_dictionaries(
    {"name": JSON, "shape": JSON, "datatype": JSON | st.sampled_from([*DTYPES])},
    optional={"data": JSON, "parameters": JSON},
)
NEAR = st.fixed_dictionaries(
    {"inputs": st.lists(INPUT, max_size=3)}, optional={"id": JSON, "outputs": JSON, "parameters": JSON}
)


@given(st.binary(max_size=60) | NEAR.map(lambda value: json.dumps(value).encode()), st.none() | st.text(max_size=6))
@example(b"", "0")
def test_no_bytes_raise_anything_but_the_engines_errors(body: bytes, length: str | None) -> None:
    try:
        asked = decode(body, length)
    except EngineError as error:
        assert 400 <= error.status < 500
    else:
        assert all(isinstance(array, np.ndarray) for array in asked.inputs.values())


@given(TENSORS, st.binary(min_size=1, max_size=4), st.data())
def test_nor_do_bytes_that_were_changed_on_the_way(array: np.ndarray, noise: bytes, data: Any) -> None:
    body, length = asked_with({"x": array}, binary=True)
    at = data.draw(st.integers(0, len(body)))
    try:
        decode(body[:at] + noise + body[at + data.draw(st.integers(0, 4)) :], length)
    except EngineError as error:
        assert 400 <= error.status < 500
