"""What a server counts about itself, in the text that Prometheus reads."""

import bisect
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.engine.lane import Lane

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
log = logging.getLogger("servelab")


class Metrics:
    """Requests by route and status, and how long they took. Only the event loop writes here."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], int] = defaultdict(int)
        self._buckets: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BOUNDS) + 1))
        self._seconds: dict[str, float] = defaultdict(float)

    def count(self, route: str, status: int, seconds: float) -> None:
        """One request more."""
        self._requests[route, status] += 1
        self._buckets[route][bisect.bisect_left(BOUNDS, seconds)] += 1
        self._seconds[route] += seconds

    def failed(self, error: BaseException) -> None:
        """A request failed for no fault of its caller: the log gets what the caller does not."""
        log.error("a request failed", exc_info=error)

    def text(self, lanes: "Mapping[tuple[str, str], Lane]") -> bytes:
        """All counts, and the state of each model's queue."""
        lines = ["# TYPE servelab_requests_total counter"]
        for (route, status), count in sorted(self._requests.items()):
            lines.append(f'servelab_requests_total{{route="{route}",status="{status}"}} {count}')
        lines.append("# TYPE servelab_request_seconds histogram")
        for route, buckets in sorted(self._buckets.items()):
            total = 0
            for bound, count in zip([*map(str, BOUNDS), "+Inf"], buckets, strict=True):
                total += count
                lines.append(f'servelab_request_seconds_bucket{{route="{route}",le="{bound}"}} {total}')
            lines.append(f'servelab_request_seconds_sum{{route="{route}"}} {self._seconds[route]:.6f}')
            lines.append(f'servelab_request_seconds_count{{route="{route}"}} {total}')
        gauges: dict[str, tuple[str, Callable[[Lane], int]]] = {
            "servelab_queued_rows": ("gauge", lambda lane: lane.scheduler.queued_rows),
            "servelab_batch_limit": ("gauge", lambda lane: lane.scheduler.size.limit),
            "servelab_batches_total": ("counter", lambda lane: lane.batches),
        }
        for name, (kind, read) in gauges.items():
            lines.append(f"# TYPE {name} {kind}")
            for (model, version), lane in sorted(lanes.items()):
                lines.append(f'{name}{{model="{model}",version="{version}"}} {read(lane)}')
        return "\n".join(lines).encode() + b"\n"
