"""``bench engine``: really started, checked before it is timed, and each figure read rightly."""

import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest

from helpers.bench import engine, load, rivals
from helpers.bench.load import Outcome, Question
from helpers.bench.rivals import LIMIT, OURS, RIVALS, YARDSTICK, Rival, Workload
from helpers.cli import main
from helpers.errors import UserError

WRK = """Running 2s test @ http://127.0.0.1:3000/
  1 threads and 32 connections
  Latency Distribution
     50%  870.00us
     75%    1.00ms
     90%    1.10ms
     99%    2.13ms
  67366 requests in 2.00s, 20.17MB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 5
Requests/sec:  33683.11
"""


def test_what_wrk_prints_is_read() -> None:
    assert load.read_wrk(WRK) == Outcome(33683.11, pytest.approx(870e-6), pytest.approx(2.13e-3), 8)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="wrk said nothing that could be read"):
        load.read_wrk("unable to connect")


class Counter(http.server.BaseHTTPRequestHandler):
    """Answers rightly, wrongly, or with an error, as the path says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content = json.dumps({"predictions": [[0.0] * 10], "asked": asked}).encode()
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


Workloads = Callable[[str], Workload]


@pytest.fixture(scope="module")
def workloads(tmp_path_factory: pytest.TempPathFactory) -> Workloads:
    return cache(lambda name: engine.make_workload(name, tmp_path_factory.mktemp(name)))


@pytest.fixture
def server() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counter) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made.server_port
        made.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/fine", "/broken"])
@pytest.mark.parametrize("with_wrk", [True, False])
def test_both_generators_count_answers_and_errors(
    path: str, with_wrk: bool, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_wrk:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    elif not shutil.which("wrk"):
        pytest.skip("wrk is not installed here")
    found = load.put_load(server, Question(path, b"{}", {"Content-Type": "application/json"}), 2, 1.0)
    assert load.generator() == ("wrk" if with_wrk else "asyncio")
    assert found.rate > 0 and 0 < found.p50 <= found.p99
    assert (found.errors > 0) == (path == "/broken")


def test_a_contestant_that_answers_wrongly_is_not_timed(server: int, workloads: Workloads) -> None:
    workload = workloads("tiny")
    wrong = rivals.Running("wrong", server, Question("/fine", b"{}", {}), 0.1, 1.0)
    with pytest.raises(UserError, match="wrong answers tiny wrongly"):
        rivals.expect_right(wrong, workload)


def test_a_contestant_that_does_not_start_says_why(workloads: Workloads, tmp_path: Path) -> None:
    workload, absent = workloads("tiny"), Rival("absent", "there_is_no_such_module")
    with pytest.raises(UserError, match="did not start") as raised, rivals.started(absent, workload, tmp_path):
        pass
    assert "there_is_no_such_module" in raised.value.remedy


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


CASES = [
    pytest.param(rival, name, id=f"{rival.name}, {name}")
    for rival in RIVALS
    for name in (("wide",) if rival.arguments else ("image",) if rival.needs != "fastapi" else ("tiny",))
] + [pytest.param(rival, "tiny", id=f"{rival.name}, tiny") for rival in RIVALS[:3]]


@pytest.mark.parametrize(("rival", "name"), CASES)
def test_each_contestant_is_started_right_and_ended_with_its_children(
    rival: Rival, name: str, workloads: Workloads, tmp_path: Path
) -> None:
    if rival.needs:
        pytest.importorskip(rival.needs)
    workload = workloads(name)
    before = set(psutil.Process().children(recursive=True))
    with rivals.started(rival, workload, tmp_path) as running:
        rivals.expect_right(running, workload)
        family = set(psutil.Process().children(recursive=True)) - before
        assert running.ready_after > 0 and running.megabytes > 10 and family
        if hasattr(psutil.Process, "cpu_affinity") and (psutil.cpu_count() or 1) > 1:
            assert all(each.cpu_affinity() == [0] for each in family), "children are on the same core"
    assert not any(map(lives, family))
    with pytest.raises(OSError):
        rivals.expect_right(running, workload)


def test_what_ignores_being_told_to_end_is_ended_nonetheless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "GRACE_SECONDS", 0.1)
    child = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True)
    with rivals.ended(process):
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == b"up\n"
        (grandchild,) = psutil.Process(process.pid).children()
    assert process.poll() is not None and not lives(grandchild)


def test_the_limit_is_the_session_in_a_loop(workloads: Workloads, tmp_path: Path) -> None:
    workload = workloads("tiny")
    found = rivals.session_loop(workload, 4, 0.2)
    assert found.rate > 0 and 0 < found.p50 <= found.p99 and found.errors == 0
    with pytest.raises(UserError, match="loop failed"):
        rivals.session_loop(replace(workload, path=tmp_path / "none.onnx"), 4, 0.2)


def test_the_report_is_read_at_a_glance() -> None:
    outcomes = tuple(Outcome(rate, 0.001, 0.002, 0) for rate in (900.0, 1000.0, 1100.0))
    text = engine.table([engine.Result("tiny", OURS, 32, outcomes, 0.9)])
    assert text.splitlines()[2].split() == ["tiny", "32", "ours", "1,000", "0.90", "1.00", "2.00"]
    assert np.isclose(engine.Result("tiny", OURS, 32, outcomes, 0.9).rate, 1000)


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "is_installed", lambda package: False)
    few = ["--rounds", "1", "--seconds", "1", "--without", "bare protocol"]
    assert main(["bench", "engine", "--workloads", "tiny", *few]) == 0
    said = capsys.readouterr().out
    assert "of plain ASGI" in said and "tiny, ours: ready after" in said
    assert said.count(f"\ntiny      1            {LIMIT}") == 1 and said.count(YARDSTICK) >= 3
    assert said.count("which is not installed here") == sum(bool(rival.needs) for rival in RIVALS)
    assert "bare protocol" not in said.split("answers/s")[1]
