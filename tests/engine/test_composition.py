"""Services that ask others, and asynchronous ones: at once, in company, and only while someone waits."""

# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from helpers.engine import Batching, Tensor, api, depends, invalid, service
from helpers.engine.endpoint import Endpoint
from helpers.engine.lane import Lane
from helpers.serving import AsyncClient, Server, ServiceError, serve
from helpers.store import Store
from tests.engine.served import store_with_two_versions, twice_and_sum


class Notes:
    """What the services did, and what a test allows them."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.entered = threading.Event()
        self.go = threading.Event()
        self.cancelled = threading.Event()
        self.both = threading.Barrier(2, timeout=10)


notes = Notes()


@service(timeout=20)
class Inner:
    @api(batching=Batching(largest=8))
    def double(self, rows: Tensor["float32", "n", 2]) -> Tensor["float32", "n", 2]:
        notes.calls.append(rows[:, 0].tolist())
        notes.entered.set()
        assert notes.go.wait(20)
        return rows * 2

    @api
    def fails(self, how: str) -> int:
        raise {"told": invalid("how", "not to my liking", "another"), "hidden": KeyError("secret")}[how]

    @api
    async def waits(self) -> None:
        notes.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            notes.cancelled.set()


@service
class Left:
    @api
    def meet(self, n: int) -> int:
        notes.both.wait()
        return n + 1


@service
class Right(Left):
    pass


@service(timeout=20, most_waiting=100)
class Outer:
    inner = depends(Inner)
    left, right = depends(Left), depends(Right)

    @api
    async def twice(self, rows: Tensor["float32", "n", 2]) -> Tensor["float32", "n", 2]:
        return await self.inner.double(await self.inner.double(rows))

    @api
    async def once(self, rows: Tensor["float32", "n", 2]) -> Tensor["float32", "n", 2]:
        return await self.inner.double(rows=rows)

    @api
    async def meet(self, n: int) -> list[int]:
        return await asyncio.gather(self.left.meet(n), self.right.meet(n=n + 10))

    @api
    async def fails(self, how: str, gathered: bool = False) -> Any:
        if gathered:
            return [str(each) for each in await asyncio.gather(self.inner.fails(how), return_exceptions=True)]
        return await self.inner.fails(how)

    @api
    async def waits(self) -> None:
        await self.inner.waits()

    @api
    async def misuses(self, how: str) -> Any:
        rows = np.ones((1, 2), np.float32)
        match how:
            case "too many":
                return await self.inner.double(rows, rows)
            case "twice":
                return await self.inner.double(rows, rows=rows)
            case "another":
                return await self.inner.double(columns=rows)
            case "nobody":
                return await self.inner.triple(rows)

    @api
    async def raises_late(self) -> None:
        raise TimeoutError("of its own")


@service(timeout=20, most_waiting=1)
class Narrow:
    inner = depends(Inner)

    @api
    async def waits(self) -> None:
        await self.inner.waits()


@service(timeout=0.2)
class Impatient:
    inner = depends(Inner)

    @api
    async def impatient(self) -> None:
        await self.inner.waits()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Outer) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    notes.__init__()  # type: ignore[misc]
    yield
    notes.go.set()


def inner(server: Server, name: str) -> Endpoint:
    return server.services.endpoints[Inner][name]


@pytest.fixture
def lane(server: Server) -> Lane:
    found = inner(server, "double").lane
    found._is_quick = lambda rows: False  # type: ignore[method-assign]  # in its thread, however quick it has been
    return found


def row(number: float) -> dict[str, Any]:
    return {"rows": [[number, 0]]}


async def until(happened: Callable[[], bool]) -> None:
    for _ in range(5000):
        if happened():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never happened")


# Together


def test_what_is_gathered_runs_at_once(server: Server) -> None:
    assert server.client.call("meet", n=1) == [2, 12], "each waited in its thread until the other was there"


async def test_callers_of_the_outer_go_together_in_the_inner(server: Server, lane: Lane) -> None:
    async with AsyncClient(server.address) as client:
        asked = [asyncio.ensure_future(client.twice(**row(0)))]
        await asyncio.to_thread(notes.entered.wait, 10)
        asked += [asyncio.ensure_future(client.twice(**row(n))) for n in range(1, 5)]
        await until(lambda: lane.scheduler.queued_rows == 4)
        notes.go.set()
        assert await asyncio.gather(*asked) == [[[4 * n, 0]] for n in range(5)]
    assert notes.calls[0] == [0] and {1, 2, 3, 4} <= set(notes.calls[1])
    assert sum(map(len, notes.calls)) == 10


# For as long as someone waits


async def test_the_outers_deadline_holds_for_the_inner(server: Server, lane: Lane) -> None:
    async with AsyncClient(server.address) as client:
        first = asyncio.ensure_future(client.once(**row(1)))
        await asyncio.to_thread(notes.entered.wait, 10)
        late = await client.http.post("/once", json=row(2), headers={"x-timeout-seconds": "0.2"})
        assert late.status_code == 504 and late.json()["code"] == "deadline_exceeded"
        await until(lambda: lane.scheduler.queued_rows == 0)
        notes.go.set()
        assert await first == [[2, 0]]
    assert notes.calls == [[1]], "what was late never ran"


async def test_who_leaves_the_outer_is_not_worked_for_in_the_inner(server: Server, lane: Lane) -> None:
    async with AsyncClient(server.address) as client:
        first = asyncio.ensure_future(client.once(**row(1)))
        await asyncio.to_thread(notes.entered.wait, 10)
        async with httpx.AsyncClient(base_url=server.address) as leaving:
            asked = asyncio.ensure_future(leaving.post("/once", json=row(2)))
            await until(lambda: lane.scheduler.queued_rows == 1)
            asked.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asked
        await until(lambda: all(job.is_unwanted for job in lane.scheduler.waiting()))
        stays = asyncio.ensure_future(client.once(**row(3)))
        await until(lambda: sum(not job.is_unwanted for job in lane.scheduler.waiting()) == 1)
        notes.go.set()
        assert await asyncio.gather(first, stays) == [[[2, 0]], [[6, 0]]]
    assert notes.calls == [[1], [3]]


def test_who_leaves_is_not_worked_for_by_what_waits(server: Server) -> None:
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=server.address, timeout=0.3) as client:
        client.post("/waits")
    assert notes.cancelled.wait(10)


def test_an_asynchronous_method_has_its_time_and_no_more() -> None:
    with serve(Impatient, Outer) as server:
        late = server.client.http.post("/impatient")
        assert late.status_code == 504 and late.json()["code"] == "deadline_exceeded" and notes.cancelled.is_set()
        notes.__init__()  # type: ignore[misc]
        late = server.client.http.post("/waits", headers={"x-timeout-seconds": "0.1"})
        assert late.status_code == 504 and notes.cancelled.is_set()
        assert {each.inside for each in server.services.endpoints[Inner].values()} == {0}


def test_a_time_limit_of_its_own_is_no_deadline_of_ours(server: Server) -> None:
    assert server.client.http.post("/raises_late").status_code == 500


async def test_so_many_asynchronous_calls_at_once_and_no_more() -> None:
    with serve(Narrow) as server:
        async with AsyncClient(server.address) as client:
            first = asyncio.ensure_future(client.waits())
            await asyncio.to_thread(notes.entered.wait, 10)
            with pytest.raises(ServiceError, match="too many requests") as refused:
                await client.waits()
            assert (refused.value.status, refused.value.code) == (503, "overloaded")
            first.cancel()
        assert await asyncio.to_thread(notes.cancelled.wait, 10)
        endpoint = server.services.endpoints[Narrow]["waits"]
        await until(lambda: endpoint.inside == 0)


# What goes wrong


def test_the_inners_refusal_is_told_and_its_defects_are_not(server: Server) -> None:
    told = server.client.http.post("/fails", json={"how": "told"})
    assert told.status_code == 422 and told.json()["field"] == "how"
    hidden = server.client.http.post("/fails", json={"how": "hidden"})
    assert hidden.status_code == 500 and "secret" not in hidden.text
    assert server.client.fails(how="hidden", gathered=True) == ["'secret'"], "the outer may deal with it"
    wrong = server.client.http.post("/once", json={"rows": [[1, 2, 3]]})
    assert wrong.status_code == 422 and wrong.json()["field"] == "rows"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("too many", "it takes rows, each once; it got 2 without a name"),
        ("twice", "it got 1 without a name, and rows"),
        ("another", "it got 0 without a name, and columns"),
        ("nobody", "no API called 'triple'; there are double, fails, waits"),
    ],
)
def test_a_wrong_call_is_the_outers_own_mistake(
    server: Server, caplog: pytest.LogCaptureFixture, how: str, said: str
) -> None:
    assert server.client.http.post("/misuses", json={"how": how}).status_code == 500 and said in caplog.text


# Models of the store


@service(timeout=20)
class WithModel:
    net = depends("net:prod")

    @api
    async def ask(self, left: Tensor["float32", "n", 3], named: bool = False) -> Any:
        return await (self.net(left, right=left) if named else self.net(left, left))

    @api
    async def misuse(self, left: Tensor["float32", "n", 3]) -> Any:
        return await self.net(left, left, left)


def test_a_new_version_under_a_service_that_asks_it(tmp_path: Path) -> None:
    store = store_with_two_versions(tmp_path)
    given = {"left": [[1, 2, 3]]}
    with serve(WithModel, store=store) as server:
        client, stop, wrong = server.client, threading.Event(), list[Any]()
        factors: list[float] = []

        def keep_asking() -> None:
            with httpx.Client(base_url=server.address, timeout=20) as http:
                for number in itertools.count():
                    if stop.is_set():
                        return
                    answer = http.post("/ask", json=given | {"named": bool(number % 2)})
                    scaled, total = answer.json() if answer.status_code == 200 else ([[0, 0, 0]], [1])
                    if not np.isclose(sum(scaled[0]), total[0]):
                        wrong.append(answer.text)
                    factors.append(scaled[0][0] - 1)

        callers = [threading.Thread(target=keep_asking) for _ in range(3)]
        for caller in callers:
            caller.start()
        while len(factors) < 20:
            callers[0].join(0.005)
        store.alias("net:2", "prod")
        assert client.http.post("/v2/repository/models/net/load").status_code == 200
        assert client.ask(**given)[0] == [[4, 8, 12]], "who asks now, asks the new one"
        seen = len(factors)
        while len(factors) < seen + 20:
            callers[0].join(0.005)
        stop.set()
        for caller in callers:
            caller.join()
        assert not wrong and set(factors) == {2.0, 3.0} and factors[-1] == 3.0
        assert client.http.post("/misuse", json=given).status_code == 500
        assert client.http.post("/v2/repository/models/net/unload").status_code == 200
        gone = client.http.post("/ask", json=given)
        assert gone.status_code == 503 and gone.json()["code"] == "unavailable" and gone.headers["retry-after"]


async def test_without_a_server_a_model_is_opened_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    store = Store()
    store.save("net", twice_and_sum(tmp_path / "net.onnx"))
    store.alias("net:1", "prod")
    direct, left = WithModel(), np.array([[1, 2, 3]], np.float32)
    for named in (False, True):
        scaled, total = await direct.ask(left, named)
        assert scaled.tolist() == [[3, 6, 9]] and total.tolist() == [18]
    with pytest.raises(TypeError, match="it takes left, right, each once"):
        await direct.misuse(left)
