"""What was scored so far: parts beside the output, each of which is there whole or not at all.

    .OUT.scoring/_manifest.json         of what, by what, and how: digests
    .OUT.scoring/part-00000.parquet     the first rows

A part comes into being by one rename, and so does the output. Who is killed leaves at most a
``.new`` file that nobody looks at, and the next run goes on at the first part that is missing.
"""

import contextlib
import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from helpers import atomic_files
from helpers.errors import UserError
from helpers.process_lock import ProcessLock

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "_manifest.json"  # readers of folders of parquet files pass over a name that begins so


class Parts:
    """The parts of one output."""

    def __init__(self, into: Path) -> None:
        if into.suffix not in ("", ".parquet", ".csv"):
            raise UserError(
                f"{into.name} says no form of output.", "name a .parquet or .csv file, or a folder for the parts.", 2
            )
        self.into = into
        self.folder = into.parent / f".{into.name}.scoring"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Only one process at a time writes an output; one that dies lets go of it."""

        def refuse() -> None:
            raise UserError(f"{self.into} is being scored by another process.", "wait for it, or name another output.")

        if self.into.parent.is_file():
            raise UserError(f"{self.into.parent} is no folder.", "name another output.", 2)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        path = self.folder.with_name(f"{self.folder.name}.lock")
        with ProcessLock(path, refuse, remove=True):
            yield

    def begin(self, manifest: dict[str, Any], anew: bool) -> int:
        """Make a place for parts, or find those of a run that was interrupted; how many there are."""
        if anew:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.into.exists() and not self.folder.exists():
            raise UserError(f"{self.into} is there already.", "remove it, or name another.", 2)
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob("*.new"):
            left.unlink(missing_ok=True)
        path = self.folder / MANIFEST
        if path.exists():
            before = json.loads(path.read_text("utf-8"))
            differing = sorted(key for key in manifest.keys() | before.keys() if manifest.get(key) != before.get(key))
            if differing:
                raise UserError(
                    f"{self.into.name} was begun with something else: another {', another '.join(differing)}.",
                    "score as before to go on, or add --anew to drop what there is and start over.",
                )
        else:
            text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
            atomic_files.write(path, text, durable=True, folder=self.folder)
        return sum(1 for _ in self.folder.glob("part-*.parquet"))

    def path(self, number: int) -> Path:
        return self.folder / f"part-{number:05}.parquet"

    def has(self, number: int) -> bool:
        return self.path(number).exists()

    def write(self, number: int, table: "pa.Table") -> None:
        import pyarrow.parquet as pq

        last = not self.into.suffix  # else it is soon read again: quickly written is better than small
        with atomic_files.replacing(self.path(number), durable=True, folder=self.folder) as beside:
            pq.write_table(
                table,
                beside,
                row_group_size=max(len(table), 1),
                use_dictionary=last,
                compression="snappy" if last else "none",
            )

    def rows(self, number: int) -> int:
        import pyarrow.parquet as pq

        count: int = pq.read_metadata(self.path(number)).num_rows
        return count

    def kept(self) -> int:
        """Rows that the next run will not score again."""
        return sum(self.rows(int(path.stem.partition("-")[2])) for path in self.folder.glob("part-*.parquet"))

    def bad_rows(self, count: int, column: str) -> int:
        """How many rows have an error in their last column."""
        import pyarrow.parquet as pq

        tables = (pq.read_table(self.path(number), columns=[column], partitioning=None) for number in range(count))
        return sum(len(table) - table.column(0).null_count for table in tables)

    def finish(self, count: int, schema: "pa.Schema") -> None:
        """Put the output where it was asked for: the folder itself, or one file of all parts in their order."""
        if self.into.suffix:
            write: Callable[[Path, int, pa.Schema], None] = {".csv": self._csv, ".parquet": self._parquet}[
                self.into.suffix
            ]
            # What a kill leaves of it, the next run takes away.
            with atomic_files.replacing(self.into, durable=True, folder=self.folder) as beside:
                write(beside, count, schema)
            shutil.rmtree(self.folder)
        else:
            self.folder.rename(self.into)

    def _parquet(self, beside: Path, count: int, schema: "pa.Schema") -> None:
        import pyarrow.parquet as pq

        with pq.ParquetWriter(beside, schema) as writer:
            for number in range(count):
                writer.write_table(self._read(number))

    def _csv(self, beside: Path, count: int, schema: "pa.Schema") -> None:
        with beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(schema.names)
            for number in range(count):
                columns = ([_plain(value) for value in column.to_pylist()] for column in self._read(number).columns)
                writer.writerows(zip(*columns, strict=True))

    def _read(self, number: int) -> "pa.Table":
        import pyarrow.parquet as pq

        return pq.read_table(self.path(number), partitioning=None)


def _plain(value: Any) -> Any:
    """What stands in a CSV file: a list as in JSON."""
    return msgspec.json.encode(value).decode() if isinstance(value, list) else value
