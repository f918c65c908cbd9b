"""Where the time goes, and on what each step really runs."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.runtime import providers as provider_names
from helpers.runtime.session import Session, open_model


@dataclass(frozen=True)
class NodeTime:
    """One step of the graph as it ran: the operator (fused, it may be), its provider, its time."""

    name: str
    operator: str
    provider: str
    microseconds: float
    share: float


def profile(session: Session, *values: NDArray[Any], runs: int = 20) -> list[NodeTime]:
    """Run a copy of the session with ONNX Runtime's profiler; the slowest step first.

    Times are medians over the runs, after one to warm up. The profiler itself costs
    time, so read the shares and not the sum.
    """
    feeds = session.feeds(values)
    with tempfile.TemporaryDirectory(prefix="servelab-profile-") as folder:
        options = session.options.for_runtime()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "run")
        wanted = [provider_names.long_name(name) for name in session.providers]
        copy = open_model(session.model, options, wanted)
        for _ in range(runs + 1):
            copy.run(None, feeds)
        events = json.loads(Path(copy.end_profiling()).read_text("utf-8"))
    return summarize(events)


def summarize(events: Sequence[dict[str, Any]]) -> list[NodeTime]:
    """The profiler's events as one line a step."""
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            details = event["args"]
            provider = provider_names.short_name(details["provider"])
            times[event["name"].removesuffix("_kernel_time"), details["op_name"], provider].append(event["dur"])
    medians = {step: float(np.median(taken[1:] or taken)) for step, taken in times.items()}
    whole = sum(medians.values()) or 1.0
    found = [NodeTime(*step, microseconds, microseconds / whole) for step, microseconds in medians.items()]
    return sorted(found, key=lambda node: -node.microseconds)
