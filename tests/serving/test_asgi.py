"""The application in a server that others wrote: the same answers, limits and manners as in ours."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn

from helpers.engine import api, service
from helpers.serving import Application, Settings
from tests.engine.served import store_with_two_versions
from tests.serving.connection import HONEST, V1, V1_ANSWER, Held, Wire, expect_honest_answer, post, send_too_much, until

LARGEST = 100_000


@service
class Counts:
    left = threading.Event()

    @api
    async def up(self, to: int) -> Any:
        try:
            for number in range(to):
                yield number
        finally:
            Counts.left.set()


@pytest.fixture
def application(tmp_path: Path) -> Application:
    return Application([Counts, "net:prod"], store_with_two_versions(tmp_path), Settings(largest_body=LARGEST))


@contextlib.contextmanager
def under_uvicorn(application: Application) -> Iterator[Any]:
    """What knows where uvicorn answers for it."""
    server = uvicorn.Server(uvicorn.Config(application, port=0, lifespan="on", log_config=None, log_level="error"))  # type: ignore[arg-type]
    up = threading.Event()
    startup = server.startup

    async def started(sockets: Any = None) -> None:
        await startup(sockets)
        up.set()

    server.startup = started  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert up.wait(30)
        host, port = server.servers[0].sockets[0].getsockname()
        yield SimpleNamespace(host=host, port=port)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def server(application: Application) -> Iterator[Any]:
    with under_uvicorn(application) as running:
        yield running


async def test_it_answers_as_in_a_server_of_ours(server: Any, application: Application) -> None:
    async with Wire(server) as wire:
        await expect_honest_answer(wire)
        await expect_honest_answer(wire)
        found = await wire.ask(post("/v1/models/other:predict", V1, "X-Request-Id: seven"))
        assert (found.status, found.headers["x-request-id"]) == (404, "seven")
        assert found.json["code"] == "not_found"
        assert (await wire.ask(b"HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n" + HONEST)).status == 200


def test_it_lives_as_long_as_its_server(application: Application) -> None:
    assert not application.app.ready
    with under_uvicorn(application):
        assert application.app.ready
    assert not application.app.ready


async def test_a_body_in_pieces_is_put_together(server: Any) -> None:
    head = b"POST /v1/models/net:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with Wire(server) as wire:
        await wire.send(head, *(b"1\r\n%c\r\n" % byte for byte in V1), b"0\r\n\r\n")
        assert (await wire.answer()).json == V1_ANSWER


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_answered_and_ends_the_connection(server: Any, chunked: bool) -> None:
    async with Wire(server) as wire:
        await send_too_much(wire, LARGEST, chunked)
        found = await wire.answer()
        assert found.status == 413 and found.headers["connection"] == "close" and found.json["code"] == "too_large"
        assert await wire.ends() == b""


async def test_a_stream_comes_through_and_ends_when_its_reader_leaves(server: Any) -> None:
    async with httpx.AsyncClient(base_url=f"http://{server.host}:{server.port}") as client:
        assert (await client.post("/up", json={"to": 3})).text == "0\n1\n2\n"
        Counts.left.clear()
        async with client.stream("POST", "/up", json={"to": 10**12}) as answer:
            async for _ in answer.aiter_raw():
                break
    await until(Counts.left.is_set)


async def test_the_work_of_those_who_left_is_not_done(server: Any, application: Application) -> None:
    lane = application.registry.find("net").lane
    held = Held(lane)
    async with Wire(server) as first, Wire(server) as left, Wire(server) as honest:
        await first.send(HONEST)
        await until(lambda: held.sizes == [1])
        await left.send(HONEST)
        await honest.send(HONEST)
        await left.send(b"")
        await until(lambda: lane.scheduler.queued_rows == 2)
        left.writer.transport.abort()
        await until(lambda: any(job.is_unwanted for job in lane.scheduler.waiting()))
        held.go.set()
        assert (await first.answer()).json == (await honest.answer()).json == V1_ANSWER
    assert held.sizes == [1, 1]
    await until(lambda: application.metrics.requests(499) == 1)


async def test_who_leaves_in_the_middle_of_a_body_has_asked_nothing(server: Any, application: Application) -> None:
    async with Wire(server) as wire:
        await wire.send(HONEST[:-5])
        wire.writer.transport.abort()
    async with Wire(server) as wire:
        await expect_honest_answer(wire)
    await until(lambda: application.metrics.requests(200) == 1)
    assert application.metrics.requests(499) == 0


async def test_of_what_is_no_request_nothing_is_answered(application: Application) -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError

    await application({"type": "websocket"}, never, never)
