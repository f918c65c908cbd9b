"""Right requests in all forms, and with some bytes changed: what is read is what was sent, or an engine's error."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers.runtime import TensorSpec
from helpers.wire import open_inference, tensorflow_serving
from helpers.wire.errors import EngineError
from helpers.wire.tensors import NAMES, to_bytes

FLOATS = TensorSpec("x", np.dtype("<f4"), ("batch", "width"))
WHOLE = TensorSpec("n", np.dtype("<i8"), ("batch",))
TEXT = TensorSpec("t", np.dtype(object), ("batch",))
SPECS = (FLOATS, WHOLE, TEXT)
Decoded = dict[str, np.ndarray]


@st.composite
def tensors(draw: st.DrawFn) -> Decoded:
    """The same number of rows of numbers, whole numbers and text."""
    rows, width = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    plain = {"allow_nan": False, "allow_infinity": False}
    return {
        "x": draw(arrays.arrays(np.dtype("<f4"), (rows, width), elements=plain)),
        "n": draw(arrays.arrays(np.dtype("<i8"), (rows,))),
        "t": draw(arrays.arrays(object, (rows,), elements=st.text(max_size=5))),
    }


def v2(given: Decoded, binary: bool) -> tuple[bytes, str | None]:
    inputs, tail = [], b""
    for name, array in given.items():
        told: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": NAMES[array.dtype]}
        if binary:
            raw = bytes(to_bytes(array))
            told["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            told["data"] = array.tolist()
        inputs.append(told)
    head = json.dumps({"inputs": inputs, "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
    return head + tail, str(len(head)) if binary else None


def v2_json(given: Decoded) -> tuple[bytes, str | None]:
    return v2(given, binary=False)


def v2_binary(given: Decoded) -> tuple[bytes, str | None]:
    return v2(given, binary=True)


def v1_rows(given: Decoded) -> tuple[bytes, str | None]:
    plain = {name: array.tolist() for name, array in given.items()}
    rows = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
    return json.dumps({"instances": rows, "signature_name": "serving_default"}).encode(), None


def v1_columns(given: Decoded) -> tuple[bytes, str | None]:
    return json.dumps({"inputs": {name: array.tolist() for name, array in given.items()}}).encode(), None


def v1_plain(given: Decoded) -> tuple[bytes, str | None]:
    """The form in which there is a single input, which is read in another way."""
    return json.dumps({"instances": given["x"].tolist()}).encode(), "x"


FORMS = [v2_json, v2_binary, v1_rows, v1_columns, v1_plain]


def decoded(form: object, body: bytes, told: str | None) -> Decoded:
    if form in (v2_json, v2_binary):
        return open_inference.decode(body, told).inputs
    return tensorflow_serving.decode(body, (FLOATS,) if told else SPECS)[0]


@pytest.mark.parametrize("form", FORMS)
@given(given_=tensors())
def test_what_was_sent_arrives(form: Callable[[Decoded], tuple[bytes, str | None]], given_: Decoded) -> None:
    found = decoded(form, *form(given_))
    assert found.keys() == ({"x"} if form is v1_plain else given_.keys())
    for name, array in found.items():
        assert array.dtype == given_[name].dtype and np.array_equal(array, given_[name])


# Bytes that mean something somewhere in a request, and some that mean nothing anywhere.
NOISE = st.one_of(
    st.binary(max_size=3),
    st.sampled_from(
        [b"null", b"true", b"NaN", b"1e999", b"1e39", b"-1", b"9" * 30, b"9" * 4000, b'"', b"[", b"]", b"{", b"}", b","]
    ),
    st.sampled_from(
        [b"\\ud800", b"\\u0000", b"\xc3", b"\xed\xa0\x80", b"FP32", b"BYTES", b"INT8", b"shape", b'{"b64":"!"}']
    ),
)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=300)
@given(
    given_=tensors(),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), NOISE), min_size=1, max_size=3),
    length=st.integers(-3, 3),
)
def test_bytes_that_were_changed_raise_nothing_but_the_engines_errors(
    form: Callable[[Decoded], tuple[bytes, str | None]],
    given_: Decoded,
    changes: list[tuple[float, int, bytes]],
    length: int,
) -> None:
    body, told = form(given_)
    if form is v2_binary:
        told = str(int(told or 0) + length)
    for place, gone, noise in changes:
        at = int(place * len(body))
        body = body[:at] + noise + body[at + gone :]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "overflow encountered in cast")  # 1e39 becomes infinite
        try:
            found = decoded(form, body, told)
        except EngineError as error:
            assert 400 <= error.status < 500 and json.loads(error.body())["error"] and len(error.message) < 1000
        else:
            assert all(isinstance(array, np.ndarray) for array in found.values())


@pytest.mark.parametrize("form", [v2_json, v2_binary, v1_rows, v1_columns])
@pytest.mark.parametrize("wrong", [b"\xff", b"\xc3(", b"\xed\xa0\x80"])
def test_text_that_is_no_text_is_the_callers_mistake(
    form: Callable[[Decoded], tuple[bytes, str | None]], wrong: bytes
) -> None:
    mark = b"?" * len(wrong)
    given_ = {"x": np.ones((1, 1), "<f4"), "n": np.ones(1, "<i8"), "t": np.array([mark.decode()], object)}
    body, told = form(given_)
    with pytest.raises(EngineError) as raised:
        decoded(form, body.replace(mark, wrong), told)
    assert raised.value.status in (400, 422)


@pytest.mark.parametrize("as_rows", [True, False])
@given(given_=tensors())
def test_an_answer_of_v1_reads_as_it_was_given(as_rows: bool, given_: Decoded) -> None:
    told = json.loads(tensorflow_serving.encode(given_, as_rows))
    if as_rows:
        assert [list(row) for row in told["predictions"]] == [list(given_)] * len(given_["n"])
        columns = {name: [row[name] for row in told["predictions"]] for name in given_}
    else:
        columns = told["outputs"]
    for name, array in given_.items():
        assert np.array_equal(np.array(columns[name], array.dtype), array)
