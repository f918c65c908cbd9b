"""Numbers in JSON: long lists read as the slower reader reads them, or not; and arrays written to be read back."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, from_dtype

from helpers.wire import numbers as module
from helpers.wire.errors import EngineError
from helpers.wire.numbers import as_json, as_lists
from helpers.wire.tensors import nested


@pytest.fixture(autouse=True)
def nothing_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORT", 0)


LEAVES = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([True, None, "1", "[", {"a": 1}, {}])
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=8)
SQUARE = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: st.lists(st.lists(LEAVES, min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0])
)


def slowly(raw: bytes, axes: int) -> Any:
    """What numpy makes of the lists of floats that msgspec finds, if they are that."""
    wanted: Any = float
    for _ in range(axes):
        wanted = list[wanted]
    try:
        return np.array(msgspec.json.decode(raw, type=wanted), np.float64)
    except (msgspec.DecodeError, ValueError):
        return None


@given(TREES | SQUARE, st.integers(1, 4))
def test_what_is_read_is_what_the_slower_reader_reads(tree: Any, axes: int) -> None:
    raw = json.dumps(tree).encode()
    read, expected = module.numbers(raw, axes), slowly(raw, axes)
    assert read is None or (expected is not None and np.array_equal(read, expected))


@given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1))
def test_what_is_right_is_read(rows: list[list[float]]) -> None:
    read = module.numbers(json.dumps(rows).encode(), 2)
    assert read is not None and read.tolist() == rows


@given(st.binary(max_size=200) | st.text('[],1 .eE-+"{}:na', max_size=60).map(str.encode), st.integers(1, 3))
def test_whatever_else_is_left_to_the_slower_reader(raw: bytes, axes: int) -> None:
    read, expected = module.numbers(raw, axes), slowly(raw, axes)
    assert read is None or (expected is not None and np.array_equal(read, expected))


@pytest.mark.parametrize(
    ("raw", "axes"),
    [
        (b"[[1, 2], [3]]", 2),
        (b"[[[1], [2]]]", 2),
        (b"[1, [2]]", 1),
        (b"[[1, 2, 3]]", 1),
        (b"[[], [1, 2]]", 2),
        (b"[" * 200_000 + b"]" * 200_000, 2),
        (b"[[true, 1]]", 2),
        (b"[[1e999, 1]]", 2),
        (b"[[1, 2]", 2),
    ],
)
def test_a_list_too_many_or_too_few_is_not_read(raw: bytes, axes: int) -> None:
    assert module.numbers(raw, axes) is None


KEYED = st.dictionaries(st.sampled_from(["a", "b", "c"]), TREES | SQUARE, max_size=2)


@given(KEYED, st.integers(1, 3))
def test_under_a_key_it_is_read_if_there_is_nothing_else(tree: dict[str, Any], axes: int) -> None:
    read = module.numbers(json.dumps(tree).encode(), axes, "a")
    alone = module.numbers(json.dumps(tree["a"]).encode(), axes) if set(tree) == {"a"} else None
    assert (read is None) == (alone is None) and (read is None or np.array_equal(read, alone))


def test_of_a_key_that_comes_twice_nothing_is_read() -> None:
    assert module.numbers(b'{"a": [1], "a": [2]}', 1, "a") is None
    assert module.numbers(b'{"a": [1]}', 1, "a") is not None and module.numbers(b"[1]", 1, "a") is None


def test_numbers_that_the_type_cannot_hold_are_told() -> None:
    with pytest.raises(EngineError, match="out of the range"):
        nested(b"[[1e39, 1]]", np.dtype("<f4"), 2, "it", "what it is")


def test_many_threads_read_at_once() -> None:
    rows = [np.random.default_rng(seed).random((4, 100)) for seed in range(16)]
    with ThreadPoolExecutor(4) as threads:
        read = list(threads.map(lambda each: module.numbers(json.dumps(each.tolist()).encode(), 2), rows * 20))
    assert all(np.array_equal(one, other) for one, other in zip(read, rows * 20, strict=True))


def test_what_is_very_long_is_left_to_the_slower_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG", 100)
    assert module.numbers(json.dumps([[1.0] * 100]).encode(), 2) is None


# Writing

WRITTEN = ["float16", "float32", "float64", ">f4", "int8", "uint8", "int64", ">i8", "uint64", "bool"]


@pytest.mark.parametrize("dtype", WRITTEN)
@given(data=st.data(), columns_first=st.booleans())
def test_what_is_written_is_read_back_as_the_same_numbers(dtype: str, data: st.DataObject, columns_first: bool) -> None:
    finite = from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False) if "f" in dtype else None
    array = data.draw(arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), elements=finite))
    array = array.T if columns_first else array
    text = as_json(array)
    read = json.loads(text)
    assert np.array_equal(np.array(read, array.dtype).reshape(array.shape), array)
    assert as_lists(array) == array.tolist() or array.dtype.itemsize < 8
    assert json.loads(json.dumps(as_lists(array))) == read


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.float32([[0.1, 0.9], [1e-7, 3]]), b"[[0.1,0.9],[1e-7,3.0]]"),
        (np.float16([0.1, 65504]), b"[0.099975586,65504.0]"),
        (np.float64([0.1, 1 / 3]), b"[0.1,0.3333333333333333]"),
        (np.array(np.float32(0.1)), b"0.1"),
        (np.float32([np.nan, np.inf, -np.inf, -0.0]), b"[null,null,null,-0.0]"),
        (np.zeros((2, 0), np.float32), b"[[],[]]"),
        (np.array([["a", "\u00fc"]]), '[["a","\u00fc"]]'.encode()),
        (np.array(["a", None, 3], object), b'["a",null,3]'),
    ],
)
def test_a_number_is_written_as_short_as_its_type_allows(array: Any, text: bytes) -> None:
    assert as_json(array) == text
    assert msgspec.json.encode(as_lists(array)) == text
