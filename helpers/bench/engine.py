"""``bench engine``: our server beside others, one worker on one core, the load on another.

Each contestant is really started, must give onnxruntime's answer before it is timed, and
has its turn in every round. Ratios are against plain ASGI in the same rounds.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.bench.load import Outcome, Question, put_load
from helpers.errors import UserError
from helpers.installed import is_installed
from helpers.places import ROOT
from helpers.runtime import Options, Session
from helpers.store import Store
from helpers.text_table import aligned

YARDSTICK, OURS = "plain ASGI, msgspec", "ours"
PEERS = {"bare protocol": "bare_protocol", YARDSTICK: "plain_asgi", "FastAPI": "fastapi_app"}
NEEDS = {"FastAPI": "fastapi"}
WORKLOADS = ("tiny", "wide", "image")


@dataclass(frozen=True)
class Workload:
    """A model, a row for it, and the connections at which it is asked."""

    name: str
    path: Path
    row: NDArray[np.float32]
    binary: bool
    connections: tuple[int, ...]


@dataclass(frozen=True)
class Running:
    """A contestant that answers."""

    name: str
    port: int
    question: Question
    ready_after: float
    megabytes: float


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
) -> tuple[list[Result], dict[str, Running]]:
    """Measure the workloads one after the other; the second part tells start and memory of each contestant."""
    results: list[Result] = []
    seen: dict[str, Running] = {}
    with tempfile.TemporaryDirectory(prefix="servelab-bench-") as folder:
        for name in workloads:
            workload = make_workload(name, Path(folder))
            with contextlib.ExitStack() as stack:
                running = []
                for contestant in (OURS, *PEERS):
                    if contestant in NEEDS and (workload.binary or not is_installed(NEEDS[contestant])):
                        say(f"{name}: without {contestant} (for JSON only, and where it is installed)")
                        continue
                    running.append(stack.enter_context(started(contestant, workload, Path(folder))))
                    expect_right(running[-1], workload)
                    seen[f"{name}, {contestant}"] = running[-1]
                for connections in workload.connections:
                    say(f"{name}: {connections} connections")
                    results += _rounds(name, running, connections, rounds, seconds)
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


@contextlib.contextmanager
def started(contestant: str, workload: Workload, folder: Path) -> Iterator[Running]:
    """A server of its own process on the first core, from its start until the block ends."""
    port = _free_port()
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    if contestant == OURS:
        store = Store(folder / "lab" / "store")
        if workload.name not in store.names():
            store.save(workload.name, workload.path)
        variables["SERVELAB_HOME"] = str(folder / "lab")
        command = ["helpers", "serve", workload.name, "--port", str(port)]
    else:
        command = [f"helpers.bench.servers.{PEERS[contestant]}", str(workload.path), str(port)]
    question = question_for(contestant, workload)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _pin(process.pid, 0)
        _wait_until_it_answers(process, port, question)
        ready_after = time.perf_counter() - began
        yield Running(contestant, port, question, ready_after, _megabytes(process.pid))
    finally:
        process.terminate()
        process.communicate()


def question_for(contestant: str, workload: Workload) -> Question:
    """The same row, as each contestant wants to be asked."""
    as_json = {"Content-Type": "application/json"}
    rows = json.dumps({"instances": workload.row.round(6).tolist()}).encode()
    if not workload.binary:
        return Question(f"/v1/models/{workload.name}:predict" if contestant == OURS else "/json", rows, as_json)
    raw = workload.row.tobytes()
    octets = {"Content-Type": "application/octet-stream"}
    if contestant != OURS:
        return Question("/binary", raw, octets)
    told = {"name": "x", "shape": workload.row.shape, "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [told], "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    return Question(f"/v2/models/{workload.name}/infer", head + raw, octets | length)


def expect_right(running: Running, workload: Workload) -> None:
    """Ask once, and compare with onnxruntime."""
    row = workload.row if workload.binary else workload.row.round(6)
    wanted = Session(workload.path, options=Options(threads=1))(row)
    request = urllib.request.Request(
        f"http://127.0.0.1:{running.port}{running.question.path}", running.question.body, running.question.headers
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        content = answer.read()
        length = answer.headers.get("inference-header-content-length")
    if workload.binary:
        found = np.frombuffer(content[int(length or 0) :], np.float32)
    else:
        found = np.array(json.loads(content)["predictions"], np.float32)
    if not np.allclose(found.ravel(), wanted.ravel(), atol=1e-4):
        raise UserError(f"{running.name} answers {workload.name} wrongly.", "its speed is of no interest.")


def table(results: Sequence[Result]) -> str:
    """A line for each contestant, workload and number of connections."""
    rows = []
    for result in results:
        errors = sum(outcome.errors for outcome in result.outcomes)
        p50, p99 = result.milliseconds("p50"), result.milliseconds("p99")
        figures = [f"{result.rate:,.0f}", f"{result.ratio:.2f}", f"{p50:.2f}", f"{p99:.2f}", errors or ""]
        rows.append([result.workload, result.connections, result.contestant, *figures])
    return aligned(["workload", "connections", "", "answers/s", "of plain ASGI", "p50 ms", "p99 ms", "errors"], rows)


def _rounds(name: str, running: Sequence[Running], connections: int, rounds: int, seconds: float) -> Iterator[Result]:
    """Turns, in another order each round; the ratio is the median over the rounds."""
    outcomes: dict[str, list[Outcome]] = {each.name: [] for each in running}
    for number in range(rounds):
        order = running if number % 2 == 0 else list(reversed(running))
        for each in order:
            outcomes[each.name].append(put_load(each.port, each.question, connections, seconds, core=1))
    for contestant, found in outcomes.items():
        pairs = zip(found, outcomes[YARDSTICK], strict=True)
        ratio = float(np.median([one.rate / yardstick.rate for one, yardstick in pairs]))
        yield Result(name, contestant, connections, tuple(found), ratio)


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", port: int, question: Question) -> None:
    url = f"http://127.0.0.1:{port}{question.path}"
    gives_up = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, question.body, question.headers), timeout=30).close()
            return
        except urllib.error.HTTPError as error:
            raise UserError(
                f"A contestant answers with {error.code}.", error.read(300).decode("utf-8", "replace")
            ) from None
        except OSError:
            if process.poll() is not None or time.monotonic() > gives_up:
                said = (
                    process.stderr.read().decode("utf-8", "replace")
                    if process.stderr and process.poll() is not None
                    else ""
                )
                raise UserError("A contestant did not start.", said.strip()[-500:] or "it did not answer.") from None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.01)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _pin(pid: int, core: int) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def _megabytes(pid: int) -> float:
    """The memory that is the process's own share."""
    import psutil

    process = psutil.Process(pid)
    with contextlib.suppress(psutil.AccessDenied, AttributeError):
        return float(process.memory_full_info().pss) / 1e6
    return float(process.memory_info().rss) / 1e6
