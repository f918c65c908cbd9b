"""Tables as columns: from CSV with a line of names, from JSON by rows or by columns, and back."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from helpers.engine.errors import invalid, malformed
from helpers.engine.protocols.tensors import nested
from helpers.engine.values import TableValue

Columns = dict[str, NDArray[Any]]


def from_csv(body: bytes, table: TableValue) -> Columns:
    """Columns in the table's types; lines that do not fit are told by their number."""
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise malformed(f"{table.name} is not CSV in UTF-8: {error}", table.name) from None
    names, *rows = [line for line in lines if line] or [[]]
    if len(set(names)) != len(names):
        raise invalid(table.name, "with one name for two columns", str(table))
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise invalid(table.name, f"{len(row)} values wide in line {number}", f"{len(names)}, as its first line is")
    columns: Columns = {}
    for place, name in enumerate(names):
        dtype = table.columns.get(name)
        values = [row[place] for row in rows]
        columns[name] = _typed(values, dtype, name, table) if dtype is not None else np.array(values, object)
    return columns


def from_json(raw: msgspec.Raw, table: TableValue) -> Columns:
    """[{"age": 3, "city": "Bern"}, …] or {"age": [3, …], "city": ["Bern", …]}."""
    try:
        given = msgspec.json.decode(raw, type=list[dict[str, msgspec.Raw]] | dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise invalid(table.name, f"no table ({error})", str(table)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(f"{table.name} is not JSON: {error}", table.name) from None
    if isinstance(given, list):
        for number, row in enumerate(given):
            if row.keys() != table.columns.keys():
                wrong = sorted(row.keys() ^ table.columns.keys())[0]
                raise invalid(f"{table.name}[{number}].{wrong[:80]}", "missing or not a column", str(table))
        given = {
            name: msgspec.Raw(b"[" + b",".join(bytes(row[name]) for row in given) + b"]") for name in table.columns
        }
    found = {}
    for name, column in given.items():
        dtype = table.columns.get(name)
        if dtype is None:
            raise invalid(f"{table.name}.{name[:80]}", "not a column", str(table))
        found[name] = nested(column, dtype, 1, f"{table.name}.{name}", str(table))
    return found


def records(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A dictionary for each row."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*map(_plain, columns.values()), strict=True)]


def to_csv(columns: Mapping[str, Any]) -> bytes:
    """A line of names, and one for each row."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*map(_plain, columns.values()), strict=True))
    return written.getvalue().encode()


def _typed(values: Sequence[str], dtype: np.dtype[Any], name: str, table: TableValue) -> NDArray[Any]:
    if dtype.kind == "O":
        return np.array(values, object)
    if dtype.kind == "b":
        return np.array([_truth(value, name, table) for value in values], bool)
    try:
        return np.array(values, str).astype(dtype) if values else np.empty(0, dtype)
    except (ValueError, OverflowError) as error:
        raise invalid(f"{table.name}.{name}", f"no column of {dtype} ({str(error)[:80]})", str(table)) from None


def _truth(value: str, name: str, table: TableValue) -> bool:
    try:
        return {"true": True, "1": True, "false": False, "0": False}[value.strip().lower()]
    except KeyError:
        raise invalid(f"{table.name}.{name}", f"{value[:40]!r}", "true or false") from None


def _plain(column: Any) -> list[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else list(column)
