"""Servers in processes of their own, that never stay behind; and load that counts what really came back."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from helpers.bench.load import Question
from helpers.bench.offered_load import offer
from helpers.bench.server_process import ServerProcess
from helpers.bench.swarm import swarm
from helpers.errors import UserError
from helpers.places import ROOT

ADDER = """
from helpers.engine import api, service

@service
class Adder:
    @api
    def add(self, a: int, b: int = 1) -> int:
        return a + b
"""
QUESTION = Question("/add", json.dumps({"a": 2}).encode(), {"Content-Type": "application/json"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("adder")
    (made / "adder.py").write_text(ADDER, "utf-8")
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    with ServerProcess.of_kit("adder:Adder", folder=folder) as running:
        yield running


def test_a_server_says_how_it_is(folder: Path) -> None:
    server = ServerProcess.of_kit("adder:Adder", folder=folder)
    assert server.health() == "not running"
    with server:
        assert server.health() == "ready" and server.is_running
        assert any("Serving Adder at" in line for line in server.log)
        assert server.start() is server, "starting it again changes nothing"
        port = server.port
    assert server.health() == "not running"
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_one_that_does_not_start_is_told_with_its_own_words(folder: Path) -> None:
    with pytest.raises(UserError, match="did not start") as raised:
        ServerProcess.of_kit("adder:Nothing", folder=folder).start()
    assert "adder has no service Nothing" in raised.value.remedy


@pytest.mark.skipif(sys.platform == "win32", reason="ends a process without asking it")
@pytest.mark.parametrize("with_its_group", [False, True], ids=["alone", "with its group, as Jupyter does"])
def test_it_ends_with_who_asked_for_it_even_if_that_is_killed(folder: Path, with_its_group: bool) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from helpers.bench.server_process import ServerProcess
server = ServerProcess.of_kit("adder:Adder", folder=Path({str(folder)!r})).start()
print(server.pid, flush=True)
sys.stdin.read()
"""
    asker = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert asker.stdin and asker.stdout
    tether = psutil.Process(int(asker.stdout.readline()))
    family = [tether, *tether.children(recursive=True)]
    assert len(family) >= 2
    if with_its_group:
        os.killpg(asker.pid, signal.SIGKILL)
    else:
        asker.kill()
    asker.communicate()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


def test_offered_load_counts_every_answer_by_its_status(server: ServerProcess) -> None:
    seen: list[int] = []
    random = np.random.default_rng(0)
    found = offer(server.address, QUESTION, 200, 0.5, random, lambda asked, latency, status: seen.append(status))
    assert found.statuses == {200: 100} and seen == [200] * 100
    assert len(found.latencies) == 100 and found.latencies.min() > 0
    assert 0 < found.percentile(50) <= found.percentile(99)
    wrong = Question("/add", b"{", QUESTION.headers)
    assert offer(server.address, wrong, 200, 0.1, random).statuses == {400: 20}


def test_offered_load_tells_connections_that_break() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        found = offer(address, QUESTION, 100, 0.1, np.random.default_rng(0))
    assert found.statuses == {0: 10} and found.answered == 0


def test_latency_counts_from_when_the_caller_wanted_to_ask(folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import time\nfrom helpers.engine import api, service\n\n"
        "@service\nclass Slow:\n    @api\n    def wait(self) -> int:\n        time.sleep(0.05)\n        return 1\n",
        "utf-8",
    )
    with ServerProcess.of_kit("slow:Slow", folder=folder) as server:
        asked = Question("/wait", b"{}", QUESTION.headers)
        found = offer(server.address, asked, 200, 0.1, np.random.default_rng(0))
    # 20 callers at nearly one moment, and one at a time takes 0.05 s: the last waited for all before it.
    assert found.statuses == {200: 20}
    assert found.latencies.max() > 0.05 * 15


def test_a_swarm_of_users_brings_locusts_own_figures(server: ServerProcess) -> None:
    found = swarm(server.address, QUESTION, users=5, seconds=3)
    assert found.requests > 50 and found.failures == 0
    assert found.rate > 0 and 0 < found.p50 <= found.p95 <= found.p99
    wrong = swarm(server.address, Question("/nothing", b"{}", QUESTION.headers), users=2, seconds=2)
    assert wrong.failures == wrong.requests > 0


def test_the_environment_reaches_the_server(folder: Path) -> None:
    command = [sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
    with ServerProcess(
        command, ready_path="/", folder=folder, environment={"SOME": "thing", "PORT": "{port}"}
    ) as server:
        child = next(iter(psutil.Process(server.pid).children()))
        assert child.environ()["SOME"] == "thing" and child.environ()["PORT"] == str(server.port)
        assert child.environ()["PATH"] == os.environ["PATH"]
    assert not child.is_running()
