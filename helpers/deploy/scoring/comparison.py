"""The same rows by each engine: how fast, and whether the answers are the same to the last byte."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from helpers.deploy.scoring.job import ENGINES, Job, score
from helpers.errors import UserError
from helpers.installed import is_installed


def compare(job: Job, engines: Sequence[str], say: Callable[[str], object] = lambda line: None) -> list[list[str]]:
    """A line for each engine: rows per second and seconds from its start, and how its answers compare."""
    lines, first = [], ""
    for engine in engines:
        missing = [package for package in ENGINES[engine] if not is_installed(package)]
        if missing:
            lines.append([engine, "-", "-", f"{' and '.join(missing)} not installed"])
            continue
        with tempfile.TemporaryDirectory(prefix="servelab-score-") as place:
            into = Path(place) / "out.parquet"
            try:
                done = score(replace(job, engine=engine, into=into), say=(lambda line: None) if first else say)
            except UserError as error:
                if not lines:  # what the first cannot do, none can
                    raise
                lines.append([engine, "-", "-", error.sentence])
                continue
            digest = sha256(into.read_bytes()).hexdigest()
        first = first or digest
        same = "the same bytes" if digest == first else "DIFFERENT"
        lines.append([engine, f"{done.rows_per_second:,.0f}", f"{done.seconds:.1f}", same])
    return lines
