"""Several processes behind one port: what they share, what they survive, and how they end. One process too."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers.places import ROOT
from helpers.serving.server import listen
from helpers.serving.turns import NOT_YET, Counts, Turns

SHOP = """
import os
import time
from collections.abc import Iterator
from pathlib import Path

from helpers.engine import api, service, task


@service(workers=2, threads=16, timeout=90)
class Shop:
    def __init__(self) -> None:
        with Path("begun").open("a") as begun:
            begun.write("x")
        if Path("broken").exists():
            os._exit(3)
        if Path("slow to begin").exists():
            time.sleep(1)

    @api
    def who(self, seconds: float = 0.0, mark: str = "") -> int:
        if mark:
            Path(mark).touch()
        time.sleep(seconds)
        return os.getpid()

    @task
    def count(self, to: int) -> Iterator[int]:
        try:
            for number in range(to):
                time.sleep(0.01)
                yield number
        finally:
            Path("stopped").touch()
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to end a program with")

JSON = {"content-type": "application/json"}


@dataclass
class Serving:
    process: "subprocess.Popen[str]"
    port: int
    folder: Path
    known: set[psutil.Process] = field(default_factory=set)

    def workers(self) -> dict[int, psutil.Process]:
        """By number of the process; without the one that Python itself starts."""
        found = {}
        for each in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it died since
                self.known.add(each)
                if "spawn_main" in " ".join(each.cmdline()):
                    found[each.pid] = each
        return found

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def expect_nothing_left(self) -> None:
        assert psutil.wait_procs(self.known, timeout=20)[1] == [], "no process"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        assert list((self.folder / "tmp").iterdir()) == [], "no folder"


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    (folder / "shop.py").write_text(SHOP)
    (folder / "tmp").mkdir(exist_ok=True)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (folder / "stderr").open("w") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "helpers", "serve", "shop:Shop", "--port", "0", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder / "tmp")},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )


@contextlib.contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Serving]:
    process = start(folder, *arguments)
    server = Serving(process, 0, folder)
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.search(r":(\d+) ", line)
        assert found, (line, server.stderr())
        server.port = int(found[1])
        server.workers()
        yield server
    finally:
        for each in server.known:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.kill()
        process.communicate()


class Line:
    """One connection to a server: it belongs to one worker from its beginning to its end."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(self, method: str, path: str, **values: Any) -> Any:
        self.connection.request(method, path, json.dumps(values), JSON)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        assert answer.status < 300, text
        return json.loads(text) if "json" in str(answer.headers["content-type"]) else text


@contextlib.contextmanager
def lines_to_two_workers(port: int) -> Iterator[tuple[Line, Line, int]]:
    """Connections to one worker and to another, and the number of the first one's process."""
    with contextlib.ExitStack() as stack:
        by_worker: dict[int, Line] = {}
        while len(by_worker) < 2:
            line = Line(port)
            stack.callback(line.connection.close)
            by_worker.setdefault(line.ask("POST", "/who"), line)
        (first, one), (_, other) = by_worker.items()
        yield one, other, first


def until(true: Callable[[], bool]) -> None:
    """Ask again and again; the test's own time limit is the server's process, which is asked each time."""
    asyncio.run(eventually(true))


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(25):
        while not true():
            await asyncio.sleep(0.01)


# Load: callers who keep a connection and ask over it without a pause


class Caller:
    """Asks, and takes note which worker each answer is of, and which worker's connection broke before the answer."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: Counter[int] = Counter()
        self.lost: Counter[int] = Counter()
        self.statuses: Counter[tuple[str, str]] = Counter()
        self.told_to_close = False
        self.enough = False

    async def ask_on(self, path: str = "/who", values: str = '{"seconds": 0.01}') -> None:
        while not self.enough and not self.told_to_close:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            worker = 0  # not known before it has answered once
            try:
                while not self.enough and not self.told_to_close:
                    worker = await self._ask(reader, writer, path, values)
                    self.answers[worker] += 1
            except (asyncio.IncompleteReadError, ConnectionError):
                self.lost[worker] += 1
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, values: str) -> int:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(values)}"
        writer.write(f"{head}\r\n\r\n{values}".encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", answer)
        assert length
        body = await reader.readexactly(int(length[1]))
        self.statuses[path, answer.split()[1]] += 1
        self.told_to_close = "\r\nconnection: close" in answer
        return int(body) if body.isdigit() else 0


async def all_answered(callers: list[Caller]) -> None:
    """Each several times: they are in full swing."""
    await eventually(lambda: min(caller.answers.total() for caller in callers) >= 3)


@pytest.mark.parametrize("workers", [1, 2])
async def test_told_to_stop_under_load_it_answers_whatever_was_asked(workers: int, tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", str(workers)) as server:
        assert len(server.workers()) == (workers if workers > 1 else 0)
        silent = Line(server.port)
        silent.ask("POST", "/who")
        callers = [Caller(server.port) for _ in range(12)]
        patient = Caller(server.port)
        asking = [asyncio.ensure_future(caller.ask_on()) for caller in callers]
        # Longer than connections stay open that are silent: it is answered because it was accepted.
        asking.append(asyncio.ensure_future(patient.ask_on(values='{"seconds": 2, "mark": "patient"}')))
        await all_answered(callers)
        await eventually((tmp_path / "patient").exists)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*asking[:-1])
        silent.ask("POST", "/who")  # over a connection that it might have closed meanwhile
        await asking[-1]
        for caller in (*callers, patient):
            assert not caller.lost and caller.told_to_close and set(caller.statuses) == {("/who", "200")}
        assert await asyncio.to_thread(server.process.wait, 20) == 0
        assert server.process.stdout
        assert server.process.stdout.read() == "Stopped: what was accepted has been answered.\n"
        server.expect_nothing_left()
    assert server.stderr() == ""


async def test_a_worker_killed_under_load_takes_only_its_own_requests_along(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        before = set(server.workers())
        assert len(before) == 2, "as the service asks"
        callers: list[Caller] = []
        asking = []
        while set().union(*(caller.answers for caller in callers)) != before:  # until both have callers
            newcomers = [Caller(server.port) for _ in range(12)]
            asking += [asyncio.ensure_future(caller.ask_on()) for caller in newcomers]
            callers += newcomers
            await all_answered(callers)
        victim = next(iter(callers[0].answers))
        os.kill(victim, signal.SIGKILL)
        its_own = [caller for caller in callers if victim in caller.answers]
        await eventually(lambda: all(caller.lost for caller in its_own))
        await eventually(lambda: len(set(server.workers()) - before) == 1)
        (replacement,) = set(server.workers()) - before
        newcomers = []
        while not any(caller.answers[replacement] for caller in newcomers):  # new connections find it
            newcomers.append(Caller(server.port))
            asking.append(asyncio.ensure_future(newcomers[-1].ask_on()))
            await all_answered(newcomers)
        for caller in (*callers, *newcomers):
            caller.enough = True
        await asyncio.gather(*asking)
        for caller in callers:
            assert caller.lost == ({victim: 1} if caller in its_own else {}), "what was in flight there, and no more"
        assert not any(caller.lost for caller in newcomers)
        assert {status for caller in (*callers, *newcomers) for status in caller.statuses} == {("/who", "200")}
        died = [json.loads(line) for line in server.stderr().splitlines()]
        assert [(line["event"], line["pid"], line["exit_code"]) for line in died] == [("a worker died", victim, -9)]


# Whose turn it is


class Silent(asyncio.Protocol):
    """A connection of a worker that has nothing to say."""

    def __init__(self, worker: list[asyncio.BaseTransport]) -> None:
        self.worker = worker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.worker.append(transport)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([0, 0], [20, 20]),
        ([0, 0, 0, 0], [10, 10, 10, 10]),
        ([10, 0], [25, 25]),  # who has fewer gets more
        ([0, NOT_YET], [40, NOT_YET]),  # one that has not begun is not waited for
        ([1, -1], [41, -1]),  # nor is one that should go first and does not, for longer than a moment
    ],
)
async def test_connections_are_shared_out(before: list[int], after: list[int]) -> None:
    counts = list(before)
    with listen("127.0.0.1", 0) as listening, contextlib.ExitStack() as opened:

        def worker(place: int) -> Turns:
            own: list[asyncio.BaseTransport] = []
            opened.callback(lambda: [transport.close() for transport in own])
            socket_of_its_own = opened.enter_context(listening.dup())
            has = before[place]
            return Turns(socket_of_its_own, Counts(counts, place), lambda: has + len(own), lambda: Silent(own))

        turns = [worker(place) for place, has in enumerate(before) if 0 <= has < NOT_YET]
        for each in turns:
            each.open()
        for _ in range(40):
            opened.enter_context(socket.create_connection(listening.getsockname()[:2], timeout=5))
        await eventually(lambda: sum(counts) == sum(after))
        for each in turns:
            each.close()
    assert all(abs(found - wanted) <= 3 for found, wanted in zip(counts, after, strict=True)), counts


def counted(text: str) -> Counter[tuple[str, str]]:
    return Counter(
        {
            ("/" + sample.labels["route"], sample.labels["status"]): int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "servelab_requests_total" and sample.labels["route"] != "metrics"
        }
    )


async def test_the_metrics_of_all_are_what_the_callers_counted(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as server, lines_to_two_workers(server.port) as (one, other, victim):
        known = counted(other.ask("GET", "/metrics"))
        callers = [Caller(server.port) for _ in range(12)]
        asking = [asyncio.ensure_future(each.ask_on(values="{}")) for each in callers[:6]]
        asking += [asyncio.ensure_future(each.ask_on(values='{"seconds": "x"}')) for each in callers[6:9]]
        asking += [asyncio.ensure_future(each.ask_on("/", "{}")) for each in callers[9:]]
        seen = [known]
        while min(sum(caller.statuses.values()) for caller in callers) < 60:
            seen += [counted(await asyncio.to_thread(line.ask, "GET", "/metrics")) for line in (one, other)]
        for caller in callers:
            caller.enough = True
        await asyncio.gather(*asking)
        assert all(earlier <= later for earlier, later in pairwise(seen)), "it only grows"
        expected = sum((caller.statuses for caller in callers), known)
        assert {status for _, status in expected} == {"200", "405", "422"}
        await eventually(lambda: counted(one.ask("GET", "/metrics")) == expected)
        os.kill(victim, signal.SIGKILL)
        await eventually(lambda: "a worker died" in server.stderr())
        assert counted(other.ask("GET", "/metrics")) == expected, "what the dead one had counted stays"
        with lines_to_two_workers(server.port):
            assert "servelab_workers 2\n" in other.ask("GET", "/metrics")


# Tasks


def test_any_worker_can_be_asked_after_a_task(tmp_path: Path) -> None:
    with serving(tmp_path) as server, lines_to_two_workers(server.port) as (one, other, first):
        task = one.ask("POST", "/count", to=3)["task"]
        until(lambda: other.ask("GET", f"/tasks/{task}")["state"] == "done")
        assert other.ask("GET", f"/tasks/{task}/result") == 2 == one.ask("GET", f"/tasks/{task}/result")
        (tmp_path / "stopped").unlink()

        task = one.ask("POST", "/count", to=10**6)["task"]
        until(lambda: other.ask("GET", f"/tasks/{task}").get("progress", 0) > 1)
        other.ask("DELETE", f"/tasks/{task}")
        until((tmp_path / "stopped").exists)
        until(lambda: {line.ask("GET", f"/tasks/{task}")["state"] for line in (one, other)} == {"cancelled"})

        task = one.ask("POST", "/count", to=10**6)["task"]
        until(lambda: other.ask("GET", f"/tasks/{task}").get("progress", 0) > 1)
        os.kill(first, signal.SIGKILL)
        until(lambda: other.ask("GET", f"/tasks/{task}")["state"] == "lost")
        assert "died" in other.ask("GET", f"/tasks/{task}")["error"]


# Ends


def test_what_does_not_end_in_time_is_ended(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "1", "--grace", "3") as server:
        line = Line(server.port)
        line.connection.request("POST", "/who", '{"seconds": 60, "mark": "stuck"}', JSON)
        until((tmp_path / "stuck").exists)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=40) == 1, "it did not wait for the minute"
        line.connection.close()
        server.expect_nothing_left()
    assert "not everything came to its end in time" in server.stderr()


def test_a_worker_that_cannot_even_end_itself_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2", "--grace", "3") as server:
        frozen = next(iter(server.workers()))
        os.kill(frozen, signal.SIGSTOP)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=40) == 1
        server.expect_nothing_left()
        assert server.process.stdout
        assert server.process.stdout.read() == "Stopped: not everything was done within 3 seconds.\n"
    (line,) = map(json.loads, server.stderr().splitlines())
    assert (line["event"], line["pid"]) == ("a worker did not end in time", frozen)


def test_workers_do_not_outlive_their_supervisor(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        line = Line(server.port)
        line.connection.request("POST", "/who", '{"seconds": 2, "mark": "begun-it"}', JSON)
        until((tmp_path / "begun-it").exists)
        server.process.kill()
        server.process.wait()
        assert line.connection.getresponse().status == 200, "they end as if they had been told to"
        line.connection.close()
        server.expect_nothing_left()


def test_workers_that_never_begin_are_not_replaced_for_ever(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    process = start(tmp_path)
    try:
        assert process.communicate(timeout=40) == ("", None)
    finally:
        process.kill()
    stderr = (tmp_path / "stderr").read_text()
    assert process.returncode == 1 and "Traceback" not in stderr
    assert "3 workers in a row died before they could answer, the last with exit code 3." in stderr
    assert 3 <= len((tmp_path / "begun").read_text()) <= 4, "two at first, and one for each of those"
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_it_may_be_stopped_before_it_has_begun(workers: int, tmp_path: Path) -> None:
    (tmp_path / "slow to begin").touch()
    process = start(tmp_path, "--workers", str(workers))
    try:
        until(lambda: (tmp_path / "begun").exists() and len((tmp_path / "begun").read_text()) == workers)
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=40)
    finally:
        process.kill()
    assert process.returncode == 0 and stdout.endswith("Stopped: what was accepted has been answered.\n")
    assert (tmp_path / "stderr").read_text() == ""
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_replacement_that_cannot_begin_ends_the_server(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        (tmp_path / "broken").touch()
        os.kill(next(iter(server.workers())), signal.SIGKILL)
        assert server.process.wait(timeout=40) == 1
        server.expect_nothing_left()
    assert "3 workers in a row died" in server.stderr() and "Traceback" not in server.stderr()
    assert len((tmp_path / "begun").read_text()) == 2 + 3


def test_a_worker_that_is_told_to_stop_is_replaced_and_loses_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as server, lines_to_two_workers(server.port) as (one, other, first):
        one.connection.request("POST", "/who", '{"seconds": 1, "mark": "slow"}', JSON)
        until((tmp_path / "slow").exists)
        os.kill(first, signal.SIGTERM)
        assert one.connection.getresponse().read().decode() == str(first)
        until(lambda: first not in server.workers() and len(server.workers()) == 2)
        until(lambda: "servelab_workers 2\n" in other.ask("GET", "/metrics"))
