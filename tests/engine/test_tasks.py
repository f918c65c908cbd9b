"""Long-running tasks: how they are, what came of them, and what stays of those that were cancelled or forgotten."""

# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import asyncio
import io
import logging
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as Pictures

from helpers.engine import EngineError, Image, Tensor, api, invalid, service, task
from helpers.engine import tasks as tasks_module
from helpers.engine.tasks import Progress, Tasks, TaskState, mark_lost
from helpers.serving import AsyncClient, Server, ServiceError, serve
from helpers.serving.client import Task

Work = Callable[[Progress], Awaitable[tuple[bytes, str]]]
SOON = 0.01


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def held(go: asyncio.Event, ran: list[str] | None = None, name: str = "") -> Work:
    """Work that waits for an event."""

    async def work(progress: Progress) -> tuple[bytes, str]:
        if ran is not None:
            ran.append(name)
        await go.wait()
        return b"done " + name.encode(), "text/plain"

    return work


async def until(happened: Callable[[], bool]) -> None:
    for _ in range(5000):
        if happened():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never happened")


async def over(tasks: Tasks, state: TaskState) -> TaskState:
    await until(lambda: tasks.state(state.task).is_over)
    return tasks.state(state.task)


# The tasks of one worker, and of several


async def test_a_task_from_its_beginning_to_its_end_and_after(tmp_path: Path) -> None:
    clock, go = Clock(), asyncio.Event()
    tasks = Tasks(tmp_path, clock)
    state = tasks.submit("S.api", 1, 60, held(go))
    assert (tasks.state(state.task).state, state.submitted) == ("waiting", 1000)
    with pytest.raises(EngineError, match="the task is waiting; there is no result") as refused:
        tasks.result(state.task)
    assert refused.value.status == 409
    clock.now += 1
    await until(lambda: tasks.state(state.task).state == "running")
    clock.now += 1
    go.set()
    ended = await over(tasks, state)
    assert (ended.state, ended.started, ended.ended) == ("done", 1001, 1002)
    clock.now += 60
    assert tasks.result(state.task) == (b"done ", "text/plain"), "kept for so long"
    clock.now += 0.001
    for ask in (tasks.state, tasks.result, tasks.cancel):
        with pytest.raises(EngineError, match="no task") as gone:
            ask(state.task)
        assert gone.value.status == 404
    assert not list(tmp_path.iterdir())
    await tasks.close()


async def test_what_was_kept_for_long_enough_is_swept_when_others_come(tmp_path: Path) -> None:
    clock, go = Clock(), asyncio.Event()
    go.set()
    tasks = Tasks(tmp_path, clock)
    states = [tasks.submit("S.api", 1, keep, held(go)) for keep in (1, 100)]
    for state in states:
        await over(tasks, state)
    clock.now += 2
    third = tasks.submit("S.api", 1, 1, held(go))
    assert {path.stem for path in tmp_path.glob("*.json")} == {states[1].task, third.task}
    await over(tasks, third)
    await tasks.close()


async def test_so_many_at_once_and_the_others_wait(tmp_path: Path) -> None:
    tasks, ran = Tasks(tmp_path), list[str]()
    gates = [asyncio.Event() for _ in range(5)]
    states = [tasks.submit("S.api", 2, 60, held(gate, ran, str(place))) for place, gate in enumerate(gates)]
    other, free = asyncio.Event(), list[str]()
    other_state = tasks.submit("S.other", 1, 60, held(other, free, "other"))
    await until(lambda: len(ran) == 2 and len(free) == 1)
    assert [tasks.state(state.task).state for state in states] == ["running"] * 2 + ["waiting"] * 3
    gates[1].set()
    await until(lambda: len(ran) == 3)
    for gate in (*gates, other):
        gate.set()
    for state in (*states, other_state):
        assert (await over(tasks, state)).state == "done"
    assert ran == ["0", "1", "2", "3", "4"], "who came first goes first"
    await tasks.close()


async def test_what_is_cancelled_while_it_waits_never_runs(tmp_path: Path) -> None:
    tasks, ran, go = Tasks(tmp_path), list[str](), asyncio.Event()
    first, second, third = [tasks.submit("S.api", 1, 60, held(go, ran, name)) for name in ("a", "b", "c")]
    assert tasks.cancel(third.task).state == "cancelled", "before it had its first turn"
    await until(lambda: ran == ["a"])
    assert tasks.cancel(second.task).state == "cancelled"
    go.set()
    await over(tasks, first)
    assert [tasks.state(state.task).state for state in (first, second, third)] == ["done", "cancelled", "cancelled"]
    assert ran == ["a"] and tasks.state(second.task).ended is not None
    assert tasks.cancel(first.task).state == "done", "what is over stays as it is"
    assert tasks.result(first.task)[0] == b"done a"
    with pytest.raises(EngineError, match="the task is cancelled; there is no result"):
        tasks.result(second.task)
    await tasks.close()


async def test_what_is_cancelled_while_it_runs_stops_and_stays_so(tmp_path: Path) -> None:
    tasks, stopped, started = Tasks(tmp_path), asyncio.Event(), asyncio.Event()

    async def stubborn(progress: Progress) -> tuple[bytes, str]:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
        return b"finished nevertheless", "text/plain"

    state = tasks.submit("S.api", 1, 60, stubborn)
    await started.wait()
    tasks.cancel(state.task)
    await stopped.wait()
    await until(lambda: not tasks._running)
    assert tasks.state(state.task).state == "cancelled"
    await tasks.close()


async def test_any_worker_can_be_asked_and_told_to_cancel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "LOOK_SECONDS", SOON)
    one, other, go = Tasks(tmp_path), Tasks(tmp_path), asyncio.Event()
    gone_on: list[int] = []

    async def steps(progress: Progress) -> tuple[bytes, str]:
        for step in range(10**6):
            await asyncio.sleep(0)
            progress(step)
            gone_on.append(step)
        return b"", ""

    quiet, busy, waiting = [one.submit("S.api", 2, 60, work) for work in (held(go), steps, held(go))]
    await until(lambda: other.state(busy.task).progress is not None)
    for state in (quiet, busy, waiting):
        assert other.cancel(state.task).state == "cancelled"
    steps_before = len(gone_on)
    await until(lambda: not one._running)
    assert {one.state(state.task).state for state in (quiet, busy, waiting)} == {"cancelled"}
    assert len(gone_on) == steps_before, "it ends with the next thing that it tells"
    go.set()
    done = one.submit("S.api", 2, 60, held(go))
    assert (await over(other, done)).state == "done" and other.result(done.task)[0] == b"done "
    await other.close()
    assert tmp_path.exists(), "it is not its own"
    await one.close()


async def test_the_tasks_of_a_worker_that_died_are_lost(tmp_path: Path) -> None:
    tasks, go = Tasks(tmp_path), asyncio.Event()
    done, running, cancelled = [
        tasks.submit("S.api", 3, 60, held(event)) for event in (go, asyncio.Event(), asyncio.Event())
    ]
    go.set()
    await over(tasks, done)
    tasks.cancel(cancelled.task)
    mark_lost(tmp_path, os.getpid() + 1)
    assert tasks.state(running.task).state == "running", "it was another that died"
    mark_lost(tmp_path, os.getpid())
    assert [tasks.state(state.task).state for state in (done, running, cancelled)] == ["done", "lost", "cancelled"]
    assert "died" in str(tasks.state(running.task).error)
    await tasks.close()


async def test_failures_are_told_and_those_of_the_service_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = Tasks(tmp_path)

    def failing(error: Exception) -> Work:
        async def work(progress: Progress) -> tuple[bytes, str]:
            raise error

        return work

    told = await over(tasks, tasks.submit("S.api", 1, 60, failing(invalid("n", "negative", "more"))))
    assert (told.state, told.error) == ("failed", "n is negative; expected more") and not caplog.records
    with caplog.at_level(logging.ERROR, "servelab"):
        hidden = await over(tasks, tasks.submit("S.api", 1, 60, failing(KeyError("secret"))))
    assert hidden.state == "failed" and "secret" not in str(hidden.error)
    assert "KeyError: 'secret'" in caplog.text and caplog.records[0].task == hidden.task  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match="the task is failed: n is negative"):
        tasks.result(told.task)
    await tasks.close()


WRONG = ["", ".", "..", "../secret", "../secret.json", "..%2fsecret", "/etc/passwd", "0" * 32 + "\n"]


@pytest.mark.parametrize("number", [*WRONG, "x" * 32, "A" * 32, "0" * 31, "0" * 33])
async def test_a_wrong_number_never_becomes_a_path(tmp_path: Path, number: str) -> None:
    (tmp_path / "secret.json").write_text('{"task":"x","api":"","state":"done","submitted":1,"keep":1,"worker":1}')
    tasks = Tasks(tmp_path / "folder")
    (tmp_path / "folder").mkdir()
    for ask in (tasks.state, tasks.result, tasks.cancel):
        with pytest.raises(EngineError, match="no task") as refused:
            ask(number)
        assert refused.value.status == 404
    assert {path.name for path in tmp_path.rglob("*")} == {"secret.json", "folder"}


async def test_no_more_are_kept_than_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "MOST_TASKS", 2)
    clock, go = Clock(), asyncio.Event()
    go.set()
    tasks = Tasks(tmp_path, clock)
    for _ in range(2):
        await over(tasks, tasks.submit("S.api", 1, 60, held(go)))
    with pytest.raises(EngineError, match="2 tasks are kept already") as refused:
        tasks.submit("S.api", 1, 60, held(go))
    assert refused.value.status == 503 and refused.value.retry_after
    clock.now += 61
    await over(tasks, tasks.submit("S.api", 1, 60, held(go)))
    await tasks.close()


async def test_at_the_end_nothing_new_begins_and_the_folder_goes() -> None:
    tasks, ran, before = Tasks(), list[str](), asyncio.all_tasks()
    for name in ("a", "b", "c"):
        tasks.submit("S.api", 1, 60, held(asyncio.Event(), ran, name))
    await until(lambda: ran == ["a"])
    folder = tasks.folder
    assert len(list(folder.glob("*.json"))) == 3
    await tasks.close()
    assert ran == ["a"] and not folder.exists()
    assert asyncio.all_tasks() == before


# Over HTTP


class Hold:
    """What the services below did, and what a test allows them."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.most = self.now = self.ran = 0
        self.lock = threading.Lock()
        self.closed = threading.Event()


hold = Hold()


@service(threads=2)
class Long:
    @task
    def slow(self, n: int) -> int:
        with hold.lock:
            hold.now, hold.ran = hold.now + 1, hold.ran + 1
            hold.most = max(hold.most, hold.now)
        hold.go.wait(20)
        with hold.lock:
            hold.now -= 1
        if n == 0:
            next(iter(()))
        if n < 0:
            raise invalid("n", "negative", "more")
        return n * n

    @task(keep=7)
    async def waits(self, n: int) -> dict[str, int]:
        while not hold.go.is_set():
            await asyncio.sleep(0.002)
        return {"n": n}

    @task
    def steps(self, n: int) -> Iterator[Any]:
        try:
            for step in range(n):
                yield {"step": np.int64(step)}
                if step == 1:
                    hold.go.wait(20)
            yield np.arange(n, dtype=np.float32)
        finally:
            hold.closed.set()

    @task
    async def steps_async(self, n: int) -> AsyncIterator[int]:
        try:
            for step in range(n):
                yield step
                while step and not hold.go.is_set():
                    await asyncio.sleep(0.002)
        finally:
            hold.closed.set()

    @task
    def picture(self, size: int) -> Image["L"]:
        return np.full((size, size), 7, np.uint8)

    @task
    def array(self, rows: Tensor["float32", "n"]) -> Tensor["float32", "n"]:
        return rows * 2

    @task
    def broken(self) -> Tensor["float32", "n"]:
        return np.ones((2, 2))

    @api
    def quick(self) -> int:
        return 1


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Long) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    hold.__init__()  # type: ignore[misc]
    yield
    hold.go.set()


def wait_for(submitted: Task, *states: str) -> dict[str, Any]:
    for _ in range(5000):
        if submitted.state()["state"] in states:
            return submitted.state()
        threading.Event().wait(0.002)
    raise AssertionError(f"it never was {states}")


@pytest.mark.parametrize(("name", "wanted"), [("slow", 9), ("waits", {"n": 3})])
def test_submit_ask_and_fetch(server: Server, name: str, wanted: Any) -> None:
    answer = server.client.http.post(f"/{name}", json={"n": 3})
    told = answer.json()
    assert answer.status_code == 202 and answer.headers["location"] == f"/tasks/{told['task']}"
    assert told["api"] == f"Long.{name}" and told["keep"] == {"slow": 3600, "waits": 7}[name]
    assert not told.keys() & {"worker", "content_type"}
    submitted = Task(server.client, told["task"])
    assert wait_for(submitted, "running")["started"]
    early = server.client.http.get(f"/tasks/{told['task']}/result")
    assert early.status_code == 409 and early.json()["code"] == "conflict"
    hold.go.set()
    assert submitted.result(every=SOON) == wanted and submitted.state()["state"] == "done"
    assert submitted.result() == wanted, "as often as one likes"


async def test_the_asynchronous_client_does_the_same(server: Server) -> None:
    async with AsyncClient(server.address) as client:
        one, other = await client.submit("slow", n=3), await client.submit("slow", n=4)
        await other.cancel()
        with pytest.raises(TimeoutError):
            await one.result(timeout=SOON, every=SOON)
        hold.go.set()
        assert await one.result(every=SOON) == 9 and (await other.state())["state"] == "cancelled"
        with pytest.raises(ServiceError, match="the task is cancelled"):
            await other.result()
        with pytest.raises(ServiceError, match="n: Expected `int`"):
            await client.submit("slow", n="x")


@pytest.mark.parametrize("name", ["steps", "steps_async"])
def test_a_generators_items_are_progress_and_the_last_the_result(server: Server, name: str) -> None:
    submitted = server.client.submit(name, n=4)
    while "progress" not in (state := submitted.state()) or state["progress"] not in ({"step": 1}, 1):
        assert state["state"] in ("waiting", "running")
    hold.go.set()
    result = submitted.result(every=SOON)
    state = submitted.state()
    if name == "steps":
        assert result == [0, 1, 2, 3] and state["progress"] == {"step": 3}, "an array is a result and no progress"
    else:
        assert result == 3 and state["progress"] == 3


def test_results_have_their_own_forms(server: Server) -> None:
    client = server.client
    shown = client.submit("picture", size=3).result(every=SOON)
    assert np.asarray(Pictures.open(io.BytesIO(shown))).tolist() == [[7] * 3] * 3
    doubled = client.submit("array", np.arange(3, dtype=np.float32)).result(every=SOON)
    assert isinstance(doubled, np.ndarray) and doubled.tolist() == [0, 2, 4]
    assert client.submit("array", rows=[1, 2]).result(every=SOON) == [2, 4]


@pytest.mark.parametrize("name", ["slow", "waits", "steps", "steps_async"])
def test_cancel(server: Server, name: str) -> None:
    submitted = server.client.submit(name, n=4)
    wait_for(submitted, "running")
    submitted.cancel()
    assert submitted.state()["state"] == "cancelled"
    submitted.cancel()
    hold.go.set()
    if name.startswith("steps"):
        assert hold.closed.wait(10)
    with pytest.raises(ServiceError, match="the task is cancelled; there is no result") as refused:
        submitted.result()
    assert refused.value.status == 409


def test_no_more_run_at_once_than_have_threads_even_when_some_are_cancelled(server: Server) -> None:
    submitted = [server.client.submit("slow", n=n) for n in range(1, 7)]
    while hold.now < 2:
        threading.Event().wait(0.002)
    for each in (submitted[0], submitted[3]):
        each.cancel()
    assert server.client.quick() == 1, "others are answered meanwhile"
    assert [each.state()["state"] for each in submitted] == [
        "cancelled", "running", "waiting", "cancelled", "waiting", "waiting"
    ]  # fmt: skip
    hold.go.set()
    assert [submitted[n].result(every=SOON) for n in (1, 2, 4, 5)] == [4, 9, 25, 36]
    assert hold.most == 2 and hold.ran == 5, "the one that was cancelled while it waited never ran"


def test_failures(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    hold.go.set()
    told = server.client.submit("slow", n=-1)
    with pytest.raises(ServiceError, match="the task is failed: n is negative; expected more"):
        told.result(every=SOON)
    with caplog.at_level(logging.ERROR, "servelab"):
        assert wait_for(server.client.submit("slow", n=0), "failed")
        state = wait_for(server.client.submit("broken"), "failed")
    assert state["error"] == "it raised an error; the server's log says which"
    assert "the answer of Long.broken should be float32 of shape (n,), and is float64" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/tasks", 404),
        ("GET", "/tasks/", 404),
        ("GET", f"/tasks/{'0' * 32}", 404),
        ("GET", f"/tasks/{'0' * 32}/result", 404),
        ("DELETE", f"/tasks/{'0' * 32}", 404),
        ("GET", "/tasks/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/tasks/%2e%2e/result", 404),
        ("GET", f"/tasks/{'0' * 32}/other", 404),
        ("POST", f"/tasks/{'0' * 32}", 405),
        ("DELETE", f"/tasks/{'0' * 32}/result", 405),
    ],
)
def test_wrong_paths(server: Server, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, server.address + path)
    assert answer.status_code == status and answer.json()["error"]


def test_nothing_stays_of_a_server_that_ends() -> None:
    before = threading.active_count()
    with serve(Long) as server:
        running = [server.client.submit(name, n=3) for name in ("slow", "slow", "slow", "waits", "steps_async")]
        for each in (running[0], running[1], *running[3:]):
            wait_for(each, "running")
        folder, close = server.tasks.folder, server.tasks.close

        async def closing() -> None:
            asyncio.get_running_loop().call_soon(hold.go.set)  # a thread cannot be interrupted: the server waits for it
            await close()

        server.tasks.close = closing  # type: ignore[method-assign]
    assert not folder.exists() and hold.ran == 2, "the one that waited did not begin"
    assert threading.active_count() == before
