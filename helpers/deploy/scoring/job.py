"""One scoring from beginning to end: look, go on where a run before ended, score part by part, put it in place."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.deploy import needs
from helpers.deploy.scoring.columns import expect_fit, from_columns, to_column, type_of
from helpers.deploy.scoring.mapping import Columns, described, mapped
from helpers.deploy.scoring.parts import Parts
from helpers.deploy.scoring.progress import Bar
from helpers.deploy.scoring.scorer import Scorer
from helpers.deploy.scoring.source import Source, open_source
from helpers.errors import UserError
from helpers.installed import expect_installed
from helpers.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

ENGINES = {"pyarrow": ["pyarrow"], "duckdb": ["pyarrow", "duckdb"], "ray": ["pyarrow", "ray", "pandas"]}
ERROR = "error"  # the column for it
PART_BYTES = 64 << 20  # what a part may take of memory, about
MOST_PART_ROWS = 64  # batches


@dataclass(frozen=True)
class Job:
    """What is asked for; it can be sent to another process."""

    target: str
    file: Path
    into: Path
    engine: str = "pyarrow"
    batch: int | None = None
    keep_errors: bool = False
    api: str | None = None
    folder: Path | None = None
    columns: tuple[str, ...] = ()  # [INPUT=]NAME,NAME,…


@dataclass(frozen=True)
class Scored:
    """What came of it: rows in the output, those among them with an error, rows that this run did itself."""

    into: Path
    rows: int
    bad: int
    scored_now: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        return self.scored_now / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Plan:
    """How a source is cut: parts of whole batches, so that the same rows meet in a call however often it is killed."""

    source: Source
    batch: int
    part_rows: int
    columns: Columns


def score(
    job: Job,
    anew: bool = False,
    bar: Callable[[int, int], Bar] = Bar,
    say: Callable[[str], object] = lambda line: None,
) -> Scored:
    """Score the rows of a file. A run that was killed is gone on with when the same is asked for again.

    ``say`` gets a line for each input that is not filled by the column of its name.
    """
    extra = "scale" if job.engine == "ray" else "batch"
    expect_installed(f"Scoring with {job.engine}", ENGINES[job.engine], extra)
    parts = Parts(job.into)
    try:
        with parts.alone():
            return _scored(job, parts, anew, bar, say)
    except OSError as error:  # what cannot be read is told by the source itself
        raise UserError(
            f"{job.into} cannot be written: {error.strerror or str(error).strip()}.",
            "mend that, and run the same again: it goes on where it ended.",
        ) from error


def _scored(job: Job, parts: Parts, anew: bool, bar: Callable[[int, int], Bar], say: Callable[[str], object]) -> Scored:
    source = open_source(job.file)
    if job.engine == "ray" and source.is_csv:
        raise UserError("Ray's workers start anywhere in a file, and CSV is read from its beginning.", "use parquet.")
    target = target_digest(job.target, job.folder or Path.cwd())
    with Scorer(job.target, job.folder, job.api) as scorer:
        plan = planned(job, source, scorer)
        schema = output_schema(job, plan, scorer)
        for line in described(plan.columns, scorer.inputs, source.schema.names):
            say(line)
        settings: dict[str, Any] = {"batch": plan.batch, "part": plan.part_rows, "api": job.api}
        settings |= {"keep errors": job.keep_errors, "columns": {name: list(c) for name, c in plan.columns.items()}}
        parts.begin({"input": source.digest, "target": target, "settings": settings}, anew)
        began = time.perf_counter()
        run = _over_ray if job.engine == "ray" else _one_after_the_other
        count, rows, scored_now = run(job, plan, scorer, parts, bar)
    source.expect_unchanged()
    if count == 0:
        parts.write(0, schema.empty_table())
        count = 1
    if rows != sum(parts.rows(number) for number in range(count)) or (not source.is_csv and rows != source.rows):
        raise UserError(f"The parts in {parts.folder} are not whole.", "start over with --anew.")
    bad = parts.bad_rows(count, ERROR) if job.keep_errors else 0
    parts.finish(count, schema)
    return Scored(job.into, rows, bad, scored_now, time.perf_counter() - began)


def planned(job: Job, source: Source, scorer: Scorer) -> Plan:
    """The size of a batch, and of a part: some seconds of work, and no more than fits into memory."""
    batch = min(job.batch or scorer.most_rows, scorer.most_rows)
    fitting = PART_BYTES // max(source.row_bytes, 1) // batch
    columns = mapped(source.schema, scorer.inputs, job.columns, source.path.name)
    return Plan(source, batch, batch * max(1, min(fitting, MOST_PART_ROWS)), columns)


def output_schema(job: Job, plan: Plan, scorer: Scorer) -> "pa.Schema":
    """The file's own columns, those of the answer, and the errors if they are kept."""
    import pyarrow as pa

    source = plan.source
    expect_fit(source.schema, scorer.inputs, plan.columns, source.is_csv, source.path.name)
    added = [pa.field(name, type_of(spec)) for name, spec in scorer.outputs.items()]
    added += [pa.field(ERROR, pa.string())] if job.keep_errors else []
    for field in added:
        if field.name in source.schema.names:
            raise UserError(f"{source.path.name} has a column {field.name} already, as the answer has.", "rename it.")
    return pa.schema([*source.schema, *added])


def target_digest(named: str, folder: Path) -> str:
    """By what the target is known again: its code, its models, and the packages that it runs on."""
    found = needs.find(named, folder)
    digest = sha256(repr([named, sorted(found.packages.items())]).encode())
    for module in (*found.modules, *found.files):
        digest.update(f"{module} {sha256((folder / module).read_bytes()).hexdigest()}\n".encode())
    for tag, version in sorted(found.models.items()):
        digest.update(f"{tag} {version} {Store().get(version).record.digest}\n".encode())
    return digest.hexdigest()


def _one_after_the_other(
    job: Job, plan: Plan, scorer: Scorer, parts: Parts, bar: Callable[[int, int], Bar]
) -> tuple[int, int, int]:
    number = 0
    while parts.has(number):
        number += 1
    if number and parts.rows(number - 1) < plan.part_rows:
        number -= 1  # the last part of all; its rows are read again, to see that nothing comes after them
    rows = start = number * plan.part_rows
    shown, scored = bar(plan.source.rows, start), 0
    for table in plan.source.slices(start, plan.part_rows, job.engine):
        if not parts.has(number):
            plan.source.expect_unchanged()
            parts.write(number, scored_part(job, plan, scorer, table, rows, shown))
            scored += len(table)
        rows += len(table)
        number += 1
    shown.end(rows)
    return number, rows, scored


def scored_part(
    job: Job, plan: Plan, scorer: Scorer, table: "pa.Table", at: int, shown: Bar | None = None
) -> "pa.Table":
    """A part's rows with their answers; ``at`` is how many rows came before."""
    import pyarrow as pa

    done = []
    for start in range(0, len(table), plan.batch):
        rows = table.slice(start, plan.batch)
        done.append(_answered(job, plan, scorer, rows, at + start))
        if shown is not None:
            shown.show(at + start + len(rows))
    return pa.concat_tables(done).combine_chunks()


def _answered(job: Job, plan: Plan, scorer: Scorer, rows: "pa.Table", at: int) -> "pa.Table":
    """Rows with their answers. If they cannot be answered together, their halves are tried: only a bad row fails."""
    import pyarrow as pa

    added: dict[str, Any] = {}
    try:
        given = {
            name: from_columns(
                name,
                {column: _one_chunk(rows.column(column)) for column in plan.columns[name]},
                spec,
                plan.source.is_csv,
            )
            for name, spec in scorer.inputs.items()
        }
        answers = scorer.ask(given)
        added = {name: to_column(answers[name], spec) for name, spec in scorer.outputs.items()}
        error = None
    except Exception as raised:
        if len(rows) > 1:
            middle = len(rows) // 2
            halves = [(rows.slice(0, middle), at), (rows.slice(middle), at + middle)]
            return pa.concat_tables([_answered(job, plan, scorer, half, start) for half, start in halves])
        error = str(raised) if isinstance(raised, UserError) or hasattr(raised, "code") else repr(raised)
        if not job.keep_errors:
            raise UserError(
                f"Row {at + 1} of {plan.source.path.name} has no answer: {error}.",
                "mend it, or keep such rows with their errors: --errors keep (and --anew).",
            ) from raised
    for name, spec in scorer.outputs.items():
        rows = rows.append_column(name, added.get(name, pa.nulls(1, type_of(spec))))
    return rows.append_column(ERROR, pa.array([error] * len(rows), pa.string())) if job.keep_errors else rows


def _one_chunk(column: "pa.ChunkedArray") -> "pa.Array":
    """A column in one piece; texts of which each stands once, as texts."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)


def _over_ray(
    job: Job, plan: Plan, scorer: Scorer, parts: Parts, bar: Callable[[int, int], Bar]
) -> tuple[int, int, int]:
    from helpers.deploy.scoring.over_ray import score_parts

    count = -(-plan.source.rows // plan.part_rows)
    missing = [number for number in range(count) if not parts.has(number)]
    before = plan.source.rows - sum(min(plan.part_rows, plan.source.rows - at * plan.part_rows) for at in missing)
    shown = bar(plan.source.rows, before)
    rows = before
    for scored in score_parts(job, plan, missing):
        rows += scored
        shown.show(rows)
    shown.end(rows)
    return count, rows, rows - before
