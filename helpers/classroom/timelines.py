"""Who waited and who ran when: a simulated queue, and spans that were really measured."""

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from helpers.bench.batching import Timeline
from helpers.classroom.pictures import Picture

WAITS: dict[str, Any] = {"facecolor": "white", "edgecolor": "#777777", "hatch": "...."}
RUNS: dict[str, Any] = {"facecolor": "#90caf9", "edgecolor": "#0d47a1"}


@dataclass(frozen=True)
class Span:
    """Something that took place, in seconds from the first."""

    lane: str
    label: str
    started: float
    ended: float


@dataclass
class Recorder:
    """Notes spans from any thread or coroutine.

    >>> record = Recorder()
    >>> with record("forest", "request 1"):
    ...     pass
    """

    spans: list[Span] = field(default_factory=list)
    _began: float = field(default_factory=time.perf_counter)

    @contextlib.contextmanager
    def __call__(self, lane: str, label: str = "") -> Iterator[None]:
        started = time.perf_counter() - self._began
        try:
            yield
        finally:
            self.spans.append(Span(lane, label, started, time.perf_counter() - self._began))


def spans_picture(spans: Sequence[Span], title: str = "") -> Picture:
    """A bar for each span, a row for each lane; the alt text tells order and overlap."""
    import matplotlib.pyplot as plt

    lanes = list(dict.fromkeys(span.lane for span in sorted(spans, key=lambda span: span.started)))
    first = min(span.started for span in spans)
    figure, place = plt.subplots(figsize=(8, 0.8 + 0.5 * len(lanes)), layout="constrained")
    for span in spans:
        left, width = 1e3 * (span.started - first), 1e3 * (span.ended - span.started)
        place.barh(lanes.index(span.lane), width, left=left, height=0.6, **RUNS)
        place.text(left + width / 2, lanes.index(span.lane), span.label, ha="center", va="center", fontsize=8)
    place.set(yticks=range(len(lanes)), yticklabels=lanes, xlabel="milliseconds", title=title)
    place.invert_yaxis()
    return Picture(figure, alt=" ".join(filter(None, [f"{title}." if title else "", _told(spans, first)])))


def overlap(spans: Sequence[Span]) -> float:
    """The share of the whole time in which at least two spans ran at once."""
    edges = sorted({edge for span in spans for edge in (span.started, span.ended)})
    both = sum(
        end - start
        for start, end in itertools.pairwise(edges)
        if sum(span.started <= start and span.ended >= end for span in spans) > 1
    )
    return both / (edges[-1] - edges[0]) if len(edges) > 1 else 0.0


def queue_picture(timelines: dict[str, Timeline], most: int = 30) -> Picture:
    """The first requests of each policy: dotted while they wait, filled while they run, each batch in one frame."""
    import matplotlib.pyplot as plt

    figure, places = plt.subplots(
        len(timelines), 1, figsize=(8.5, 2.4 * len(timelines)), sharex=True, squeeze=False, layout="constrained"
    )
    told = []
    for place, (policy, timeline) in zip(places[:, 0], timelines.items(), strict=True):
        _draw_queue(place, timeline, most)
        p50, p99 = 1e3 * np.percentile(timeline.latencies, [50, 99])
        summary = f"{timeline.mean_rows:.1f} together on average, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        place.set_title(f"{policy}: {summary}", fontsize=10, loc="left")
        told.append(f"{policy}: {summary}")
    places[-1, 0].set_xlabel("milliseconds; dotted: waits, filled: runs, frame: one batch")
    return Picture(figure, alt="Requests that wait and run. " + "; ".join(told) + ".")


def _draw_queue(place: Any, timeline: Timeline, most: int) -> None:
    from matplotlib.patches import Rectangle

    row = 0
    first = timeline.batches[0].arrivals[0]
    for batch in timeline.batches:
        if row >= most:
            break
        shown = batch.arrivals[: most - row]
        starts, ends = 1e3 * (batch.started - first), 1e3 * (batch.ended - first)
        for arrived in shown:
            arrives = 1e3 * (arrived - first)
            place.barh(row, starts - arrives, left=arrives, height=0.7, linewidth=0.5, **WAITS)
            place.barh(row, ends - starts, left=starts, height=0.7, linewidth=0.5, **RUNS)
            row += 1
        frame = Rectangle((starts, row - len(shown) - 0.5), ends - starts, len(shown), fill=False, linewidth=1.6)
        place.add_patch(frame)
    place.set(ylabel="request", ylim=(min(row, most) - 0.3, -0.7))


def _told(spans: Sequence[Span], first: float) -> str:
    parts = [
        f"{span.lane}{f' ({span.label})' if span.label else ''} from {1e3 * (span.started - first):.0f} "
        f"to {1e3 * (span.ended - first):.0f} ms"
        for span in sorted(spans, key=lambda span: span.started)[:12]
    ]
    return f"{'; '.join(parts)}; {overlap(spans):.0%} of the time two or more run at once."
