"""Who runs beside our server in ``bench engine``: each really started, asked in its own way, and checked.

A server has one worker on the first core. Its children (BentoML and LitServe have some) end with it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from helpers.bench.load import Outcome, Question
from helpers.bench.server_process import free_port
from helpers.errors import UserError
from helpers.places import ROOT
from helpers.runtime import Options, Session
from helpers.store import Store

GRACE_SECONDS = 15


@dataclass(frozen=True)
class Workload:
    """A model, a row for it, and the connections at which it is asked."""

    name: str
    path: Path
    row: NDArray[np.float32]
    binary: bool
    connections: tuple[int, ...]


@dataclass(frozen=True)
class Rival:
    """A server: its module in ``helpers.bench.servers``, what it needs installed, and which workloads it takes."""

    name: str
    module: str
    needs: str = ""
    workloads: tuple[str, ...] = ("tiny", "wide", "image")
    arguments: tuple[str, ...] = ()
    form: str = "json"  # how it wants to be asked


LIMIT, YARDSTICK, OURS = "session loop, no server", "plain ASGI, msgspec", "ours"
RIVALS = (
    Rival(OURS, "", form="ours"),
    Rival("bare protocol", "bare_protocol"),
    Rival(YARDSTICK, "plain_asgi"),
    Rival("FastAPI", "fastapi_app", "fastapi", ("tiny", "wide")),
    Rival("LitServe", "litserve_app", "litserve", form="litserve"),
    Rival("LitServe, batching", "litserve_app", "litserve", ("wide",), ("batching",), form="litserve"),
    Rival("BentoML", "bentoml_app", "bentoml", form="bentoml"),
    Rival("BentoML, batching", "bentoml_app", "bentoml", ("wide",), ("batching",), form="bentoml"),
)


@dataclass(frozen=True)
class Running:
    """A contestant that answers."""

    name: str
    port: int
    question: Question
    ready_after: float
    megabytes: float


@contextlib.contextmanager
def started(rival: Rival, workload: Workload, folder: Path) -> Iterator[Running]:
    """A server of its own process on the first core, from its start until the block ends."""
    port = free_port()
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "BENTOML_HOME": str(folder / "bentoml")}
    if rival.module:
        command = [f"helpers.bench.servers.{rival.module}", str(workload.path), str(port), *rival.arguments]
    else:
        store = Store(folder / "lab" / "store")
        if workload.name not in store.names():
            store.save(workload.name, workload.path)
        variables["SERVELAB_HOME"] = str(folder / "lab")
        command = ["helpers", "serve", workload.name, "--port", str(port)]
    question = question_for(rival, workload)
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said, ended(_run_on_core(0, command, variables, said)) as process:
        _wait_until_it_answers(process, port, question, said)
        ready_after = time.perf_counter() - began
        yield Running(rival.name, port, question, ready_after, _megabytes(process.pid))


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    """A process that leads its own group: at the end it and all that it started are gone."""
    try:
        yield process
    finally:
        family = _family(process.pid)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for each in family:  # some may have left the group
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(family, timeout=5)


def session_loop(workload: Workload, rows: int, seconds: float) -> Outcome:
    """What ONNX Runtime does by itself on the first core, in batches of so many rows."""
    command = ["helpers.bench.servers.session_loop", str(workload.path), str(rows), str(seconds)]
    with tempfile.TemporaryFile() as said, ended(_run_on_core(0, command, dict(os.environ), said)) as process:
        code = process.wait()
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    if code:
        raise UserError("The session's loop failed.", text.strip()[-500:])
    rate, p50, p99 = map(float, text.split())
    return Outcome(rate, p50, p99, 0)


def question_for(rival: Rival, workload: Workload) -> Question:
    """The same row, as each contestant wants to be asked."""
    raw = workload.row.tobytes()
    if not workload.binary:
        rows = json.dumps({"instances": workload.row.round(6).tolist()}).encode()
        path = {"ours": f"/v1/models/{workload.name}:predict", "json": "/json"}.get(rival.form, "/predict")
        return Question(path, rows, {"Content-Type": "application/json"})
    octets = {"Content-Type": "application/octet-stream"}
    if rival.form == "litserve":
        part = b'--row\r\nContent-Disposition: form-data; name="content"; filename="row"\r\n\r\n'
        return Question(
            "/predict", part + raw + b"\r\n--row--\r\n", {"Content-Type": "multipart/form-data; boundary=row"}
        )
    if rival.form != "ours":
        return Question("/binary", raw, octets)
    told = {"name": "x", "shape": workload.row.shape, "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [told], "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    return Question(f"/v2/models/{workload.name}/infer", head + raw, octets | length)


def expect_right(running: Running, workload: Workload) -> None:
    """Ask once, and compare with onnxruntime."""
    row = workload.row if workload.binary else workload.row.round(6)
    wanted = Session(workload.path, options=Options(threads=1))(row)
    with urllib.request.urlopen(_request(running.port, running.question), timeout=30) as answer:
        content = answer.read()
        length = answer.headers.get("inference-header-content-length")
    if content.startswith((b"[", b"{")) and length is None:
        told: Any = json.loads(content)
        found = np.array(told["predictions"] if isinstance(told, dict) else told, np.float32)
    else:
        found = np.frombuffer(content[int(length or 0) :], np.float32)
    if found.size != wanted.size or not np.allclose(found.ravel(), wanted.ravel(), atol=1e-4):
        raise UserError(f"{running.name} answers {workload.name} wrongly.", "its speed is of no interest.")


def _run_on_core(core: int, command: list[str], variables: dict[str, str], said: Any) -> "subprocess.Popen[bytes]":
    """Started there, so that whatever it starts is there too."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1 else None
    if before:
        os.sched_setaffinity(0, {core})
    try:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        if before:
            os.sched_setaffinity(0, before)


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", port: int, question: Question, said: Any) -> None:
    gives_up = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(_request(port, question), timeout=30).close()
            return
        except urllib.error.HTTPError as error:
            if error.code != 503:  # BentoML listens before it is ready
                told = error.read(300).decode("utf-8", "replace")
                raise UserError(f"A contestant answers with {error.code}.", told) from None
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > gives_up:
            said.seek(0)
            told = said.read().decode("utf-8", "replace").strip()[-500:]
            raise UserError("A contestant did not start.", told or "it said nothing.")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)


def _request(port: int, question: Question) -> urllib.request.Request:
    return urllib.request.Request(f"http://127.0.0.1:{port}{question.path}", question.body, question.headers)


def _family(pid: int) -> list[psutil.Process]:
    """A process and its children's children; none, if it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def _megabytes(pid: int) -> float:
    """The memory that is the share of the process and its children."""
    return sum(map(own_megabytes, _family(pid)))


def own_megabytes(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.AccessDenied, AttributeError):
        return float(process.memory_full_info().pss) / 1e6
    return float(process.memory_info().rss) / 1e6
