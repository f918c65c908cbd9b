"""Tables as columns: from CSV with a line of names, from JSON by rows or by columns, and back."""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from helpers.runtime import TensorSpec
from helpers.wire.errors import invalid, malformed
from helpers.wire.numbers import as_lists
from helpers.wire.tensors import nested
from helpers.wire.values import TableValue

Columns = dict[str, NDArray[Any]]


def from_csv(body: bytes | memoryview, table: TableValue) -> Columns:
    """Columns in the table's types; lines that do not fit are told by their number."""
    try:
        reader = csv.reader(io.StringIO(str(body, "utf-8-sig"), newline=""), strict=True)
        names: list[str] = next(reader, [])
        rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise malformed(f"{table.name} is not CSV in UTF-8: {error}", table.name) from None
    table.expect_columns(names, table.name)
    if len(set(names)) != len(names):
        raise invalid(table.name, "with one name for two columns", str(table))
    for number, row in rows:
        if len(row) != len(names):
            raise invalid(table.name, f"{len(row)} values wide in line {number}", f"{len(names)}, as its first line is")
    return {name: _typed([row[place] for _, row in rows], table.specs[name], table) for place, name in enumerate(names)}


def from_json(raw: msgspec.Raw, table: TableValue) -> Columns:
    """[{"age": 3, "city": "Bern"}, …] or {"age": [3, …], "city": ["Bern", …]}."""
    try:
        given = msgspec.json.decode(raw, type=list[dict[str, msgspec.Raw]] | dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise invalid(table.name, f"no table ({error})", str(table)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(f"{table.name} is not JSON: {error}", table.name) from None
    if isinstance(given, list):
        for number, row in enumerate(given):
            if row.keys() != table.columns.keys():
                table.expect_columns(row, f"{table.name}[{number}]")
        given = {
            name: msgspec.Raw(b"[" + b",".join(bytes(row[name]) for row in given) + b"]") for name in table.columns
        }
    table.expect_columns(given, table.name)
    return {
        name: nested(given[name], dtype, 1, spec.name, str(table), spec.takes_missing)
        for (name, dtype), spec in zip(table.columns.items(), table.specs.values(), strict=True)
    }


def records(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A dictionary for each row."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*map(_plain, columns.values()), strict=True)]


def to_csv(columns: Mapping[str, Any]) -> bytes:
    """A line of names, and one for each row."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows(zip(*map(_plain, columns.values()), strict=True))
    return written.getvalue().encode()


def _typed(values: Sequence[str], spec: TensorSpec, table: TableValue) -> NDArray[Any]:
    readers: dict[str, Callable[[str], Any]] = {"O": str, "b": _truth, "f": float}
    dtype = spec.dtype
    assert dtype is not None
    read = _float_or_missing if spec.takes_missing else readers.get(dtype.kind, int)
    try:
        return np.array([read(value) for value in values], dtype)
    except (ValueError, OverflowError) as error:
        raise invalid(spec.name, f"no column of {dtype} ({str(error)[:80]})", str(table)) from None


def _float_or_missing(value: str) -> float:
    return float(value) if value.strip() else math.nan


def _truth(value: str) -> bool:
    try:
        return {"true": True, "1": True, "false": False, "0": False}[value.strip().lower()]
    except KeyError:
        raise ValueError(f"{value[:40]!r} is neither true nor false") from None


def _plain(column: Any) -> list[Any]:
    return as_lists(column) if isinstance(column, np.ndarray) else list(column)
