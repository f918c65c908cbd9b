"""The rows of a parquet or CSV file, in order, a slice at a time: the whole is never in memory.

Two readers give the same rows: pyarrow, and DuckDB, which is asked in SQL and answers in Arrow. Of a
CSV file all values stay the texts that they are, so that what is not scored comes out as it went in.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 1 << 20
ROWS_READ = 8192  # at once


@dataclass(frozen=True)
class Source:
    """A file, and what is known of it before its rows are read."""

    path: Path
    schema: "pa.Schema"
    rows: int  # of a CSV file about so many: a line break may be within a text
    row_bytes: int
    digest: str
    state: tuple[int, int]

    @property
    def is_csv(self) -> bool:
        return self.path.suffix == ".csv"

    def expect_unchanged(self) -> None:
        """Refuse a file that was written to since it was opened."""
        if _state(self.path) != self.state:
            raise UserError(f"{self.path.name} was changed while it was scored.", "start anew, with --anew.")

    def slices(self, start: int, size: int, engine: str = "pyarrow") -> Iterator["pa.Table"]:
        """Tables of exactly ``size`` rows, the last one perhaps shorter, from the row ``start`` on."""
        import pyarrow as pa

        rows = _by_duckdb(self, start) if engine == "duckdb" else _by_pyarrow(self, start)
        waiting, count = [], 0
        for batch in rows:
            waiting.append(batch)
            count += batch.num_rows
            if count >= size:
                table = pa.Table.from_batches(waiting, self.schema)
                whole = count - count % size
                yield from (table.slice(at, size) for at in range(0, whole, size))
                waiting, count = table.slice(whole).to_batches(), count - whole
        if count:
            yield pa.Table.from_batches(waiting, self.schema)


def open_source(path: Path) -> Source:
    """Look at a file: its columns, its size, and the digest by which it is known again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix not in (".parquet", ".csv"):
        raise UserError(f"{path.name} is neither a .parquet nor a .csv file.", "its ending says how it is read.", 2)
    try:
        state = _state(path)
        digest, lines = _digest(path)
        if path.suffix == ".csv":
            rows, schema = max(lines - 1, 0), _csv_schema(path)
            return Source(path, schema, rows, state[0] // max(rows, 1), digest, state)
        with pq.ParquetFile(path) as file:
            about = file.metadata
            size = sum(about.row_group(at).total_byte_size for at in range(about.num_row_groups))
            return Source(path, file.schema_arrow, about.num_rows, size // max(about.num_rows, 1), digest, state)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.", "check its name.", 2) from None
    except UnicodeDecodeError:
        raise UserError(f"{path.name} cannot be read: its column names are no UTF-8.", "save it as UTF-8.") from None
    except pa.ArrowInvalid as error:
        raise _damaged(path, error) from None


def _by_pyarrow(source: Source, start: int) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    try:
        if source.is_csv:
            with pa.csv.open_csv(source.path, **_csv_options(source.schema.names)) as reader:
                yield from _without(start, reader)
            return
        with pq.ParquetFile(source.path, pre_buffer=False) as file:  # else it keeps all that it has read
            groups = list(range(file.num_row_groups))
            while groups and (rows := file.metadata.row_group(groups[0]).num_rows) <= start:
                start -= rows  # a row group that was scored already is not even opened
                del groups[0]
            yield from _without(start, file.iter_batches(ROWS_READ, row_groups=groups))
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(source.path, error) from None


def _by_duckdb(source: Source, start: int) -> Iterator["pa.RecordBatch"]:
    import duckdb
    import pyarrow as pa

    options = {"read_parquet": {}, "read_csv": {"all_varchar": True, "header": True, "delim": ",", "quote": '"'}}
    reader = "read_csv" if source.is_csv else "read_parquet"
    told = "".join(f", {name} = {value!r}" for name, value in options[reader].items())
    with duckdb.connect() as database:
        query = f"SELECT * FROM {reader}(?{told}) OFFSET {start}"
        try:
            for batch in database.sql(query, params=[str(source.path)]).to_arrow_reader(ROWS_READ):
                table = pa.Table.from_batches([batch])
                yield from (_without_nulls(table) if source.is_csv else table).cast(source.schema).to_batches()
        except (duckdb.Error, pa.ArrowInvalid) as error:
            raise _damaged(source.path, error) from None


def _without_nulls(table: "pa.Table") -> "pa.Table":
    """DuckDB takes an empty value of a CSV file for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pa.table([pc.fill_null(column, "") for column in table.columns], names=table.schema.names)


def _without(start: int, batches: Any) -> Iterator["pa.RecordBatch"]:
    """All but the first rows."""
    for batch in batches:
        left_out = min(start, batch.num_rows)
        start -= left_out
        if left_out < batch.num_rows:
            yield batch.slice(left_out)


def _csv_options(names: list[str]) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.csv

    return {
        "read_options": pa.csv.ReadOptions(use_threads=False),  # so that an error tells the row
        "parse_options": pa.csv.ParseOptions(newlines_in_values=True),
        "convert_options": pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    }


def _csv_schema(path: Path) -> "pa.Schema":
    import pyarrow as pa
    import pyarrow.csv

    with pa.csv.open_csv(path, **_csv_options([])) as reader:
        names = reader.schema.names
    return pa.schema([(name, pa.string()) for name in names])


def _digest(path: Path) -> tuple[str, int]:
    """The file's sha256, and its lines."""
    digest, lines, last = hashlib.sha256(), 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            lines, last = lines + chunk.count(b"\n"), chunk
    return digest.hexdigest(), lines + (not last.endswith(b"\n"))


def _state(path: Path) -> tuple[int, int]:
    told = path.stat()
    return told.st_size, told.st_mtime_ns


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path.name} cannot be read: {str(error).strip().splitlines()[0][:300]}.", "mend the file.")
