"""What a server counts about itself, in the text that Prometheus reads; over all workers, if there are several."""

import bisect
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers.engine.counts import ENTRY, Page, entries
from helpers.engine.lane import Lane

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LE = [*map(str, BOUNDS), "+Inf"]

FAMILIES = {
    "servelab_requests_total": ("counter", "Requests by the first part of their path and by status."),
    "servelab_request_seconds": ("histogram", "From the request's arrival to the end of its answer."),
    "servelab_batches_total": ("counter", "Calls of a model, each for one request or for several."),
    "servelab_queued_rows": ("gauge", "Rows that wait for a model."),
    "servelab_batch_limit": ("gauge", "The most rows that a model is given at once now."),
    "servelab_workers": ("gauge", "Processes that answer."),
}
LARGEST = "servelab_batch_limit"  # of the workers' numbers; of all else it is the sum that says something
LIVE, GONE = ".live", ".gone"


class Metrics:
    """One worker's counts; ``folder`` is where the others' are. Only the event loop writes here."""

    def __init__(self, folder: Path | None = None, worker: str = "0") -> None:
        self.folder = folder
        self._file = folder / f"{worker}{LIVE}" if folder else None
        self._page = Page(self._file)
        self._page.set("servelab_workers", 1)
        self._names: dict[tuple[str, int], tuple[str, list[str], str]] = {}
        self._noted: set[str] = set()

    def count(self, route: str, status: int, seconds: float) -> None:
        """One request more."""
        names = self._names.get((route, status))
        if names is None:
            names = self._names[route, status] = _names(route, status)
        total, buckets, spent = names
        self._page.add(total)
        self._page.add(buckets[bisect.bisect_left(BOUNDS, seconds)])
        self._page.add(spent, seconds)

    def note(self, lanes: "Mapping[tuple[str, str], Lane]") -> None:
        """How each model's queue is now. One that was there before, and is not any more, is empty."""
        noted = {
            f'{{model="{_label(model)}",version="{_label(version)}"}}': lane for (model, version), lane in lanes.items()
        }
        for labels in self._noted - noted.keys():
            self._page.set(f"servelab_queued_rows{labels}", 0)
        self._noted |= noted.keys()
        for labels, lane in noted.items():
            self._page.set(f"servelab_queued_rows{labels}", lane.scheduler.queued_rows)
            self._page.set(f"servelab_batch_limit{labels}", lane.scheduler.size.limit)
            self._page.set(f"servelab_batches_total{labels}", lane.batches)

    def requests(self, status: int) -> int:
        """How many requests ended so, in this worker."""
        wanted = f'status="{status}"'
        return round(sum(number for name, number in self._page.entries() if wanted in name))

    def text(self) -> bytes:
        """The numbers over all workers."""
        sums: dict[str, float] = defaultdict(float)
        for name, number in self._everyone():
            sums[name] = max(sums[name], number) if name.startswith(LARGEST) else sums[name] + number
        lines = []
        for family, (kind, help_) in FAMILIES.items():
            own = sorted(name for name in sums if name.partition("{")[0] == family)
            if own:
                lines += [f"# HELP {family} {help_}", f"# TYPE {family} {kind}"]
                lines += _histogram(family, own, sums) if kind == "histogram" else [f"{n} {sums[n]:.15g}" for n in own]
        return "\n".join(lines).encode() + b"\n"

    def _everyone(self) -> Iterator[tuple[str, float]]:
        """All workers' numbers; of those who are gone, what they had counted."""
        yield from self._page.entries()
        for path in sorted(self.folder.iterdir()) if self.folder else ():
            if path != self._file and path.suffix in (LIVE, GONE):
                for name, number in entries(_read(path)):
                    if path.suffix == LIVE or FAMILIES[name.partition("{")[0]][0] != "gauge":
                        yield name, number


def retire(folder: Path, worker: str) -> None:
    """A worker has ended: what it counted stays, what it measured does not."""
    page = folder / f"{worker}{LIVE}"
    if page.exists():
        used = sum(ENTRY for _ in entries(page.read_bytes()))
        os.truncate(page, used)  # a server may outlive many workers, and reads all their pages
        page.rename(page.with_suffix(GONE))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # it was retired since we looked
        return path.with_suffix(GONE).read_bytes()


def _names(route: str, status: int) -> tuple[str, list[str], str]:
    family, label = "servelab_request_seconds", f'route="{_label(route)}"'
    buckets = [f'{family}{{{label},le="{bound}"}}' for bound in _LE]
    return f'servelab_requests_total{{{label},status="{status}"}}', buckets, f"{family}{{{label}}}"


def _histogram(family: str, names: list[str], sums: Mapping[str, float]) -> list[str]:
    """Prometheus wants each bucket to hold those below it too."""
    lines = []
    for spent in (name for name in names if ",le=" not in name):
        label, total = spent.removeprefix(family)[1:-1], 0.0
        for bound in _LE:
            total += sums.get(f'{family}{{{label},le="{bound}"}}', 0)
            lines.append(f'{family}_bucket{{{label},le="{bound}"}} {total:.15g}')
        lines += [f"{family}_sum{{{label}}} {sums[spent]:.6f}", f"{family}_count{{{label}}} {total:.15g}"]
    return lines


def _label(text: str) -> str:
    """As it may stand between quotes; so much of it that a page has room for the name, whatever it is made of."""
    return text[:64].replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
