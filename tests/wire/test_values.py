"""What comes over the wire, by thousands of examples: it comes back as it went, and what is broken is told."""

# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import io
import json
import warnings
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers.engine import EngineError, Image, Table, Tensor, api, service
from helpers.engine.endpoint import Endpoint
from helpers.engine.rows import count_rows, cut, joined
from helpers.engine.service import spec_of
from helpers.wire import native, tables
from helpers.wire.tensors import nested
from tests.engine.served import picture_file

NUMBERS = st.one_of(
    arrays.boolean_dtypes(),
    *(make(endianness=end) for end in "<>" for make in (arrays.integer_dtypes, arrays.unsigned_integer_dtypes)),
    *(arrays.floating_dtypes(endianness=end, sizes=(16, 32, 64)) for end in "<>"),
)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


# Arrays


@given(arrays.arrays(NUMBERS, SHAPES), st.booleans())
def test_numpys_files_come_as_numpy_reads_them(array: np.ndarray, columns_first: bool) -> None:
    file = io.BytesIO()
    np.save(file, np.asfortranarray(array) if columns_first else array)
    read, known = native.npy(file.getvalue(), "it"), np.load(io.BytesIO(file.getvalue()))
    assert read.shape == known.shape and read.dtype == known.dtype.newbyteorder("=") and read.dtype.isnative
    assert np.array_equal(read, known, equal_nan=known.dtype.kind == "f")
    assert read.flags.writeable and read.flags.c_contiguous


@given(arrays.arrays(NUMBERS, SHAPES))
def test_and_numpy_reads_ours(array: np.ndarray) -> None:
    for form in (array, array.T, np.asfortranarray(array)):
        read = np.load(io.BytesIO(native.to_npy(form)), allow_pickle=False)
        assert read.dtype == form.dtype and np.array_equal(read, form, equal_nan=form.dtype.kind == "f")


OTHERS = {"text": np.array(["a"]), "objects": np.array([{}]), "complex": np.array([1j]), "days": np.array([0], "M8[D]")}


@pytest.mark.parametrize("array", OTHERS.values(), ids=OTHERS)
def test_an_array_of_something_else_is_not_written(array: np.ndarray) -> None:
    with pytest.raises(TypeError, match="no array of numbers"):
        native.to_npy(array)


@given(
    arrays.arrays(NUMBERS.filter(lambda dtype: dtype.isnative), arrays.array_shapes(min_dims=1, max_dims=4, max_side=3))
)
def test_lists_in_json_come_as_they_went(array: np.ndarray) -> None:
    if array.dtype.kind == "f":
        array = np.nan_to_num(array, posinf=1, neginf=-1)
    read = nested(native.to_json(array), array.dtype, array.ndim, "it", "what it is")
    assert read.dtype == array.dtype and np.array_equal(read, array)
    inside = json.loads(native.to_json({"it": array}))["it"]
    assert np.array_equal(np.array(inside, array.dtype).reshape(array.shape), array)


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda rest: b"\x93NUMPY\x01\x00v\x00" + rest))
def test_what_is_no_array_is_told(body: bytes) -> None:
    expect_only_our_errors(lambda: native.npy(body, "it"))


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "descr": st.sampled_from(["<f4", "|O", "<U9", "<f3", "V8", "", "<f99999999999", "f4,f4", "<M8[s]", "a5", "|S0"])
        | st.integers() | st.lists(st.tuples(st.text(max_size=2), st.just("<f4")), max_size=2),
        "fortran_order": st.booleans() | st.none() | st.text(max_size=2),
        "shape": st.lists(st.integers(-3, 3) | st.sampled_from([2**31, 2**70, True, 1.0]), max_size=40).map(tuple)
        | st.integers() | st.text(max_size=3),
    },
)  # fmt: skip


@given(HEADERS, st.binary(max_size=64), st.sampled_from([1, 2, 3]), st.integers(-3, 3))
def test_nor_does_a_header_that_lies_do_harm(told: Any, data: bytes, version: int, lie: int) -> None:
    raw = repr(told).encode()
    length = max(0, len(raw) + lie).to_bytes(2 if version == 1 else 4, "little")
    expect_only_our_errors(lambda: native.npy(b"\x93NUMPY" + bytes([version, 0]) + length + raw + data, "it"))


def expect_only_our_errors(read: Any) -> None:
    """What is broken is an EngineError; nothing is said on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy's, about what it is asked to understand
        try:
            read()
        except EngineError as error:
            assert error.status < 500 and len(error.body()) < 2000


# Tables


PEOPLE = Table[{"age": "int64", "weight": "float64", "city": "str", "here": "bool"}].__metadata__[0].named("people")
COLUMNS = st.integers(1, 6).flatmap(
    lambda rows: st.fixed_dictionaries(
        {
            "age": arrays.arrays(np.int64, rows),
            "weight": arrays.arrays(np.float64, rows, elements=st.floats(allow_nan=False)),
            "city": st.lists(TEXTS, min_size=rows, max_size=rows).map(lambda texts: np.array(texts, object)),
            "here": arrays.arrays(np.bool_, rows),
        }
    )
)


@given(COLUMNS)
def test_tables_come_as_they_went(columns: dict[str, np.ndarray]) -> None:
    as_lists = {name: column.tolist() for name, column in columns.items()}
    finite = np.isfinite(columns["weight"]).all()  # JSON has no infinity
    forms = [tables.from_csv(tables.to_csv(columns), PEOPLE)]
    forms += [
        tables.from_json(msgspec.Raw(native.to_json(form)), PEOPLE)
        for form in (tables.records(columns), columns)
        if finite
    ]
    for read in forms:
        PEOPLE.check(read)
        assert {name: column.tolist() for name, column in read.items()} == as_lists
    assert PEOPLE.promised(as_lists).keys() == columns.keys()


@given(
    st.binary(max_size=60)
    | st.text('age,weight"\n\r\0 19.-x', max_size=60).map(lambda text: f"city,here,{text}".encode())
)
def test_what_is_no_table_is_told(body: bytes) -> None:
    expect_only_our_errors(lambda: PEOPLE.check(tables.from_csv(body, PEOPLE)))
    expect_only_our_errors(lambda: PEOPLE.check(tables.from_json(msgspec.Raw(body), PEOPLE)))


# Whole requests


@service
class Anything:
    @api
    def one(self, rows: Tensor["float32", "n", 2]) -> None: ...

    @api
    def several(
        self,
        rows: Tensor["int8", "n"],
        texts: Tensor["str", 2],
        number: int,
        more: list[int] = [],  # noqa: B006
    ) -> None: ...

    @api
    def photo(self, photo: Image["RGB"]) -> None: ...

    @api
    def people(self, people: Table[{"age": "int64", "city": "str"}]) -> None: ...


ENDPOINTS = {
    name: Endpoint(spec, each, Anything()) for spec in [spec_of(Anything)] if spec for name, each in spec.apis.items()
}
READERS = {
    name: native.Reader(name, endpoint.api.parameters, endpoint.api.defaults) for name, endpoint in ENDPOINTS.items()
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["rows", "texts", "number", "more", "photo", "b64", "people", "age", "city", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
WHOLE = [
    ("one", native.NPY, native.to_npy(np.ones((2, 2), np.float32))),
    ("one", native.JSON, b'{"rows": [[1, 2], [3.5, -4e3]]}'),
    ("several", native.JSON, b'{"rows": [1, 2], "texts": ["a", {"b64": "YQ=="}], "number": 3, "more": [1]}'),
    ("photo", "image/png", picture_file(np.zeros((3, 2, 3), np.uint8), "PNG")),
    ("photo", "image/gif", picture_file(np.zeros((3, 2), np.uint8), "GIF")),
    ("photo", "image/jpeg", picture_file(np.zeros((3, 2, 3), np.uint8), "JPEG")),
    ("people", native.CSV, b'age,city\n3,"Ulm ""x"""\n'),
    ("people", native.JSON, b'{"people": [{"age": 3, "city": "Ulm"}]}'),
]  # fmt: skip


def read(name: str, kind: str, body: bytes) -> tuple[Any, ...]:
    return ENDPOINTS[name].checked(READERS[name].read(body, kind))


@pytest.mark.parametrize(("name", "kind", "body"), WHOLE)
def test_these_requests_are_whole(name: str, kind: str, body: bytes) -> None:
    assert read(name, kind, body)


@given(st.sampled_from(sorted(READERS)), JSON)
def test_any_json_is_taken_or_refused(name: str, told: Any) -> None:
    expect_only_our_errors(lambda: read(name, native.JSON, json.dumps(told).encode()))


@settings(max_examples=400)
@given(st.sampled_from(WHOLE), st.data())
def test_so_is_a_whole_request_that_was_damaged(whole: tuple[str, str, bytes], data: st.DataObject) -> None:
    name, kind, body = whole
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged)))
        damaged[place : place + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    expect_only_our_errors(lambda: read(name, kind, bytes(damaged)))


# Rows


COUNTS = st.lists(st.integers(1, 4), min_size=2, max_size=6)


@given(COUNTS, st.sampled_from(["array", "list", "table", "lists by name"]))
def test_rows_that_were_joined_are_cut_where_they_were(counts: list[int], kind: str) -> None:
    numbers = np.arange(sum(counts) * 2).reshape(-1, 2)
    whole: Any = {
        "array": numbers,
        "list": numbers.tolist(),
        "table": {"a": numbers[:, 0], "b": numbers},
        "lists by name": {"a": numbers.tolist()},
    }[kind]
    parts = cut(whole, counts)
    assert [count_rows(part) for part in parts] == counts
    assert native.to_json(joined(parts)) == native.to_json(whole)
    assert native.to_json(cut((whole, whole), counts)) == native.to_json([(part, part) for part in parts])


@pytest.mark.parametrize(
    "answer", [(), {}, None, 3, "text", np.float32(3), np.array(3), [1, 2], np.ones(4), {"a": [1]}, ([1, 2, 3], 4)]
)
def test_an_answer_with_other_rows_is_not_cut(answer: Any) -> None:
    with pytest.raises(EngineError, match="did not answer each row"):
        cut(answer, [1, 2])
