"""``bench soak``: a server under honest and hostile load at once, for minutes; what changes over time is the finding.

A model of the store and a service answer in so many workers. Honest callers check each
answer, and must never meet an error; hostile ones must be told that the fault is theirs.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from helpers.bench.engine import make_workload
from helpers.bench.rivals import own_megabytes
from helpers.bench.server_process import ServerProcess
from helpers.bench.soak_callers import Tally, ask_honestly, ask_with_malice, honest_questions
from helpers.places import ROOT
from helpers.runtime import Options, Session
from helpers.store import Store
from helpers.text_table import aligned

MODEL, SERVICE = "tiny", "helpers.bench.soak_service:Means"
HONEST, HOSTILE = 8, 3
LINES = 20  # of the table, however long it takes
PAUSE = 0.02  # of the hostile between two requests, so that there is some honest load beside them


@dataclass(frozen=True)
class Span:
    """What was seen from one look to the next."""

    second: float
    megabytes: float  # of all workers
    rate: float
    p99: float
    errors: tuple[str, ...]
    hostile: dict[str, int]

    @property
    def unfair(self) -> dict[str, int]:
        """What hostile requests were told, where it is not the 4xx that they deserve."""
        fair = ("4", "left", "came")
        return {what: times for what, times in self.hostile.items() if not what.startswith(fair)}


def measure(seconds: float, workers: int, say: Callable[[str], None] = lambda line: None) -> list[Span]:
    """Start a server, put the load on it, and look at it now and then."""
    with tempfile.TemporaryDirectory(prefix="servelab-soak-") as name:
        workload = make_workload(MODEL, Path(name))
        Store(Path(name) / "store").save(MODEL, workload.path)
        session = Session(workload.path, options=Options(threads=1))
        server = ServerProcess.of_kit(MODEL, SERVICE, folder=ROOT, workers=workers)
        server.environment["SERVELAB_HOME"] = name
        with server:
            say(f"{workers} workers are up; {HONEST} honest callers and {HOSTILE} hostile ones begin")
            return asyncio.run(_watched(server, session, seconds, say))


async def _watched(server: ServerProcess, session: Session, seconds: float, say: Callable[[str], None]) -> list[Span]:
    tally, spans = Tally(), []
    randoms = np.random.default_rng(0).spawn(HONEST)
    calls = [ask_honestly(server.port, honest_questions(MODEL, session, random), tally) for random in randoms]
    calls += [ask_with_malice(server.port, MODEL, tally, PAUSE) for _ in range(HOSTILE)]
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        began = last = time.monotonic()
        while last - began < seconds:
            done, _ = await asyncio.wait(tasks, timeout=seconds / LINES, return_when=asyncio.FIRST_COMPLETED)
            for task in done:  # they go on without end
                task.result()
            now = time.monotonic()
            spans.append(_span(tally, now - began, now - last, _workers_megabytes(server.pid)))
            last = now
            say(_line(spans[-1]))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return spans


def _span(tally: Tally, second: float, length: float, megabytes: float) -> Span:
    """What the tally has, which is empty afterwards."""
    p99 = float(np.percentile(tally.seconds, 99)) if tally.seconds else 0.0
    span = Span(second, megabytes, len(tally.seconds) / length, p99, tuple(tally.errors), dict(tally.hostile))
    for each in (tally.seconds, tally.errors, tally.hostile):
        each.clear()
    return span


def _workers_megabytes(pid: int) -> float:
    """The shares of the server and its workers in the memory; the process that holds them is not theirs."""
    total = 0.0
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += own_megabytes(process)
    return total


def _line(span: Span) -> str:
    return f"{span.second:.0f} s: {span.megabytes:.0f} MB, {span.rate:,.0f}/s, {len(span.errors)} errors"


def table(spans: Sequence[Span]) -> str:
    rows = []
    for span in spans:
        hostile = ", ".join(f"{what} × {times}" for what, times in sorted(span.hostile.items()))
        figures = [f"{span.megabytes:.0f}", f"{span.rate:,.0f}", f"{1e3 * span.p99:.1f}", len(span.errors)]
        rows.append([f"{span.second:.0f}", *figures, hostile])
    return aligned(["s", "MB", "answers/s", "p99 ms", "errors", "hostile: what they were told"], rows)


def summary(spans: Sequence[Span]) -> str:
    """The picture in words, and what was wrong."""
    errors = [error for span in spans for error in span.errors]
    unfair = sum(sum(span.unfair.values()) for span in spans)
    settled = spans[len(spans) // 5 :]
    rates, half = [span.rate for span in spans], len(settled) // 2
    early, late = (np.mean([span.megabytes for span in part]) for part in (settled[: half or 1], settled[half:]))
    told = [
        f"Over {spans[-1].second:.0f} s the memory of all workers went from {early:.0f} MB (mean of the first half, "
        f"after a fifth to settle) to {late:.0f} MB (of the second).",
        f"Between {min(rates):,.0f} and {max(rates):,.0f} honest answers a second, p99 at most "
        f"{1e3 * max(span.p99 for span in spans):.1f} ms; {len(errors)} errors among them.",
        f"{sum(sum(span.hostile.values()) for span in spans):,} hostile calls, of which {unfair} were not told 4xx.",
    ]
    return "\n".join([*told, *(f"  {error}" for error in errors[:5])])


def went_well(spans: Sequence[Span]) -> bool:
    return not any(span.errors or span.unfair for span in spans)


def draw(spans: Sequence[Span], path: Path) -> Path:
    """Memory, answers a second and p99 over time, one above the other; errors are marked where they were."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.5), layout="constrained")
    seconds = [span.second for span in spans]
    panels: dict[str, Sequence[float]] = {
        "MB, all workers": [span.megabytes for span in spans],
        "answers/s": [span.rate for span in spans],
        "p99, ms": [1e3 * span.p99 for span in spans],
        "errors": [len(span.errors) for span in spans],
    }
    places = figure.subplots(len(panels), 1, sharex=True)
    for place, (label, values) in zip(places, panels.items(), strict=True):
        place.plot(seconds, values, marker="o", markersize=3, linewidth=1.2)
        place.set(ylabel=label, ylim=(0, max([*values, 1]) * 1.15))
        place.grid(alpha=0.3)
    place.set_xlabel("seconds; answers to honest callers, under hostile load")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, facecolor="white")
    return path
