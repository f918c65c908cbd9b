"""``bench engine``: our server beside others, one worker on one core, the load on another.

Each contestant is really started, must give onnxruntime's answer before it is timed, and
has its turn in every round. Ratios are against plain ASGI in the same rounds. The first line
of each group is the limit: the bare session in a loop, with as many rows as there are connections.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.bench.load import Outcome, put_load
from helpers.bench.rivals import LIMIT, RIVALS, YARDSTICK, Running, Workload, expect_right, session_loop, started
from helpers.installed import is_installed
from helpers.text_table import aligned

WORKLOADS = ("tiny", "wide", "image")
LARGEST_BATCH = 32


@dataclass(frozen=True)
class Result:
    workload: str
    contestant: str
    connections: int
    outcomes: tuple[Outcome, ...]
    ratio: float

    @property
    def rate(self) -> float:
        return float(np.median([outcome.rate for outcome in self.outcomes]))

    def milliseconds(self, which: str) -> float:
        return 1e3 * float(np.median([getattr(outcome, which) for outcome in self.outcomes]))


def measure(
    workloads: Sequence[str] = WORKLOADS,
    rounds: int = 3,
    seconds: float = 3.0,
    say: Callable[[str], None] = lambda line: None,
    without: frozenset[str] = frozenset(),
) -> tuple[list[Result], dict[str, Running]]:
    """Measure the workloads one after the other; the second part tells start and memory of each contestant."""
    results: list[Result] = []
    seen: dict[str, Running] = {}
    wanted = [rival for rival in RIVALS if rival.name == YARDSTICK or rival.name not in without]
    present = [rival for rival in wanted if not rival.needs or is_installed(rival.needs)]
    for rival in wanted:
        if rival not in present:
            say(f"Without {rival.name}, which is not installed here: python3 -m helpers setup --extra peers")
    with tempfile.TemporaryDirectory(prefix="servelab-bench-") as folder:
        for name in workloads:
            workload = make_workload(name, Path(folder))
            with contextlib.ExitStack() as stack:
                running = []
                for rival in present:
                    if name in rival.workloads:
                        running.append(stack.enter_context(started(rival, workload, Path(folder))))
                        expect_right(running[-1], workload)
                        seen[f"{name}, {rival.name}"] = running[-1]
                for connections in workload.connections:
                    say(f"{name}: {connections} connections")
                    results += _rounds(workload, running, connections, rounds, seconds)
    return results, seen


def make_workload(name: str, folder: Path) -> Workload:
    """A model with random weights and a row for it."""
    import torch
    from torch import nn

    from helpers import zoo
    from helpers.convert import to_onnx

    random = np.random.default_rng(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name == "tiny":
            model: Any = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
            row = random.random((1, 64), dtype=np.float32)
        elif name == "wide":
            model, row = zoo.wide_mlp(), random.random((1, 784), dtype=np.float32)
        else:
            model = nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 10))
            row = random.random((1, 3, 224, 224), dtype=np.float32)
    path = to_onnx(model.eval(), row, folder / f"{name}.onnx", ["x"], ["y"])
    return Workload(
        name, path, row, name == "image", (1, 8) if name == "image" else (1, 32, 64) if name == "wide" else (1, 32)
    )


def table(results: Sequence[Result]) -> str:
    """A line for each contestant, workload and number of connections."""
    rows = []
    for result in results:
        errors = sum(outcome.errors for outcome in result.outcomes)
        p50, p99 = result.milliseconds("p50"), result.milliseconds("p99")
        figures = [f"{result.rate:,.0f}", f"{result.ratio:.2f}", f"{p50:.2f}", f"{p99:.2f}", errors or ""]
        rows.append([result.workload, result.connections, result.contestant, *figures])
    return aligned(["workload", "connections", "", "answers/s", "of plain ASGI", "p50 ms", "p99 ms", "errors"], rows)


def _rounds(
    workload: Workload, running: Sequence[Running], connections: int, rounds: int, seconds: float
) -> Iterator[Result]:
    """Turns, in another order each round; the ratio is the median over the rounds."""
    outcomes: dict[str, list[Outcome]] = {LIMIT: [], **{each.name: [] for each in running}}
    for number in range(rounds):
        outcomes[LIMIT].append(session_loop(workload, min(connections, LARGEST_BATCH), seconds))
        order = running if number % 2 == 0 else list(reversed(running))
        for each in order:
            outcomes[each.name].append(put_load(each.port, each.question, connections, seconds, core=1))
    for contestant, found in outcomes.items():
        pairs = zip(found, outcomes[YARDSTICK], strict=True)
        ratio = float(np.median([one.rate / yardstick.rate for one, yardstick in pairs]))
        yield Result(workload.name, contestant, connections, tuple(found), ratio)
