"""A file's columns as the arrays that a service takes, and its answers as columns.

What HTTP refuses is refused here: a missing value where none is taken, a text where a number belongs, a number that
its type cannot hold, lists of different lengths. A CSV file has nothing but texts; there a number is
written as usual, and a list as in JSON: [0.5, 1.5].
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.errors import UserError
from helpers.runtime import TensorSpec
from helpers.wire.errors import EngineError, invalid
from helpers.wire.tensors import nested

if TYPE_CHECKING:
    import pyarrow as pa

Array = NDArray[Any]
MOST_TOLD = 10  # columns that do not fit


def expect_fit(
    schema: "pa.Schema", inputs: Mapping[str, TensorSpec], columns: Mapping[str, Sequence[str]], texts: bool, where: str
) -> None:
    """Refuse a file that lacks a column, or has one of another type; all at once, and before anything is scored."""
    wrong = []
    for name, spec in inputs.items():
        for column in columns[name]:
            wanted = one_of(spec, column) if len(columns[name]) > 1 else spec
            at = schema.get_all_field_indices(column)
            if len(at) != 1:
                wrong.append(f"{column} is {'missing' if not at else 'there twice'}, and should be {_wanted(wanted)}")
            elif not texts and not _fits(schema.field(at[0]).type, wanted):
                wrong.append(f"{column} is {schema.field(at[0]).type}, and should be {_wanted(wanted)}")
    if wrong:
        told = "; ".join(wrong[:MOST_TOLD]) + (f"; and {len(wrong) - MOST_TOLD} more" if wrong[MOST_TOLD:] else "")
        wide = next(
            (
                f"; or name those of an input: --columns {name}=NAME,…"
                for name, spec in inputs.items()
                if any(size != 1 for size in spec.shape[1:])
            ),
            "",
        )
        raise UserError(f"{where} does not fit: {told}.", f"its columns are {', '.join(schema.names[:20])}{wide}.")


def one_of(spec: TensorSpec, column: str) -> TensorSpec:
    """What one of several columns holds that together are an input: a value in each row."""
    return TensorSpec(column, spec.dtype, spec.shape[:1])


def from_columns(name: str, columns: Mapping[str, "pa.Array"], spec: TensorSpec, texts: bool) -> Array:
    """The rows of an input: of its column, or of several with one value of a row in each."""
    if len(columns) == 1:
        ((column, values),) = columns.items()
        return to_array(values, spec if column == name else replace(spec, name=column), texts)
    parts = [to_array(values, one_of(spec, column), texts) for column, values in columns.items()]
    array = np.stack(parts, axis=1)
    return array.reshape(_shape(list(array.shape), spec))


def to_array(column: "pa.Array", spec: TensorSpec, texts: bool) -> Array:
    """A column's rows as the array that ``spec`` tells of, or an EngineError about one of them."""
    import pyarrow.compute as pc

    assert spec.dtype is not None
    if texts and spec.dtype != object:
        column = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.equal(column, ""), None, column)
    is_plain = not _is_list(column.type) and all(size == 1 for size in spec.shape[1:])
    if column.null_count and not (is_plain and spec.takes_missing):
        raise _missing(spec)
    if texts and len(spec.shape) > 1 and pc.any(pc.starts_with(column, "[")).as_py():
        return _from_json(column, spec)
    shape = [len(column)]
    while _is_list(column.type):
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if len(lengths) > 1:
            raise invalid(spec.name, "of lists of different lengths", str(spec))
        shape += lengths
        column = column.flatten()
    if column.null_count and not spec.takes_missing:
        raise _missing(spec)
    return _elements(column, spec).reshape(_shape(shape, spec))


def to_column(answer: Any, spec: TensorSpec) -> "pa.Array":
    """An answer's rows as a column; what has further axes becomes lists."""
    import pyarrow as pa

    array = np.asarray(answer)
    flat = array.reshape(-1)
    column = pa.array(flat.tolist(), pa.string()) if array.dtype.kind in "OU" else pa.array(flat)
    for axis in range(array.ndim - 1, 0, -1):
        count = int(np.prod(array.shape[:axis]))
        column = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32) * array.shape[axis]), column)
    return column


def type_of(spec: TensorSpec) -> "pa.DataType":
    """What ``to_column`` makes of such answers."""
    import pyarrow as pa

    assert spec.dtype is not None
    made = pa.string() if spec.dtype == object else pa.from_numpy_dtype(spec.dtype)
    for _ in spec.shape[1:]:
        made = pa.list_(made)
    return made


def _from_json(column: "pa.Array", spec: TensorSpec) -> Array:
    """Texts such as [[1, 2], [3, 4]], by the reader that HTTP's requests have; or flat, as [1, 2, 3, 4]."""
    if column.null_count:
        raise _missing(spec)
    rows = column.to_pylist()
    first = rows[0].replace(" ", "")
    depth = min(len(first) - len(first.lstrip("[")), len(spec.shape) - 1)
    assert spec.dtype is not None
    text = f"[{','.join(rows)}]".encode()
    array = nested(text, spec.dtype, 1 + max(depth, 1), spec.name, str(spec), spec.takes_missing)
    return array.reshape(_shape(list(array.shape), spec))


def _elements(column: "pa.Array", spec: TensorSpec) -> Array:
    """The values in a row, as numpy has them. Always a copy: a method may change what it is given."""
    import pyarrow as pa

    dtype = spec.dtype
    assert dtype is not None
    if dtype.kind == "O":
        texts = np.empty(len(column), object)
        texts[:] = column.to_pylist()
        return texts
    try:
        if dtype.kind != "f":
            return np.array(column.cast(pa.from_numpy_dtype(dtype)).to_numpy(zero_copy_only=False))
        if not pa.types.is_floating(column.type) and not pa.types.is_integer(column.type):
            column = column.cast(pa.float64())
        with np.errstate(over="raise"):
            return np.array(column.to_numpy(zero_copy_only=False), dtype)
    except (pa.ArrowInvalid, ArithmeticError) as error:
        raise invalid(spec.name, f"no {dtype} ({str(error)[:120]})", str(spec)) from None


def _shape(found: list[int], spec: TensorSpec) -> list[int]:
    """As it was found; but a plain column fills axes of 1, and a flat list all axes of a row."""
    inner = [size for size in spec.shape[1:] if isinstance(size, int)]
    fixed = len(inner) == len(spec.shape) - 1
    if fixed and len(found) != len(spec.shape) and len(found) <= 2 and np.prod(inner) == np.prod(found[1:]):
        return [found[0], *inner]
    return found


def _missing(spec: TensorSpec) -> EngineError:
    return invalid(spec.name, "missing", str(spec))


def _is_list(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return any(is_one(kind) for is_one in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _fits(kind: "pa.DataType", spec: TensorSpec) -> bool:
    """True if values of a type can be what is asked for; whether each of them is shows when it comes."""
    import pyarrow as pa

    assert spec.dtype is not None
    if _is_list(kind) and len(spec.shape) == 1:
        return False
    if not _is_list(kind) and any(size != 1 for size in spec.shape[1:]):
        return False
    while _is_list(kind):
        kind = kind.value_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    of = pa.types
    may_be = {"O": (of.is_string, of.is_large_string), "b": (of.is_boolean,), "i": (of.is_integer,)}
    may_be |= {"u": (of.is_integer,), "f": (of.is_floating, of.is_integer, of.is_decimal)}
    return any(is_one(kind) for is_one in may_be[spec.dtype.kind])


def _wanted(spec: TensorSpec) -> str:
    """What to put into a column."""
    told = "strings" if spec.dtype == object else str(spec.dtype)
    inner = " × ".join(map(str, spec.shape[1:]))
    return f"a list of {inner} {told} in each row" if inner else f"of {told}"
