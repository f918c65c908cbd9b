"""Streams over real sockets: what comes through, what is told when it breaks, and that nobody works for nobody."""

import asyncio
import contextlib
import itertools
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.engine import api, depends, invalid, service
from helpers.engine.endpoint import Endpoint, current_caller
from helpers.serving import Client, Server, ServiceError, native_routes, serve

EVENTS = {"accept": "text/event-stream"}
to_give: list[Any] = []  # what Streams.given gives; set by a test


class Watch:
    """What a generator did; and what a test allows it."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.go_on = threading.Event()
        self.stuck = threading.Event()
        self.closed_by = ""
        self.steps = self.inside = self.most = 0


watch = Watch()


@service(timeout=20, most_waiting=3)
class Streams:
    @api
    def given(self) -> Iterator[Any]:
        yield from to_give

    @api
    async def given_async(self) -> AsyncIterator[Any]:
        for item in to_give:
            yield item

    @api
    def fails(self, after: int, how: str) -> Iterator[int]:
        yield from range(after)
        raise {"told": invalid("how", "not to my liking", "another"), "hidden": KeyError("secret")}[how]

    @api
    async def fails_async(self, after: int, how: str) -> AsyncIterator[int]:
        for item in self.fails(after, how):
            yield item

    @api
    def endless(self) -> Iterator[str]:
        try:
            for step in itertools.count():
                watch.steps = step
                yield "x" * 1000
        finally:
            watch.closed_by = threading.current_thread().name
            watch.closed.set()

    @api
    async def endless_async(self) -> AsyncIterator[str]:
        try:
            for step in itertools.count():
                watch.steps = step
                yield "x" * 1000
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)  # what it closes may take its time
            watch.closed.set()

    @api
    def stuck(self, after: int) -> Iterator[int]:
        try:
            yield from range(after)
            watch.steps = after
            watch.stuck.set()
            watch.go_on.wait(20)
            yield -1
        finally:
            watch.closed_by = threading.current_thread().name
            watch.closed.set()

    @api
    async def stuck_async(self, after: int) -> AsyncIterator[int]:
        try:
            for number in range(after):
                yield number
            watch.steps = after
            watch.stuck.set()
            await asyncio.Event().wait()
        finally:
            watch.closed.set()

    @api
    def counted(self, to: int) -> Iterator[int]:
        for number in range(to):
            watch.inside += 1
            watch.most = max(watch.most, watch.inside)
            time.sleep(0.001)  # what a step may take
            watch.inside -= 1
            yield number

    @api
    async def in_one_task(self) -> AsyncIterator[bool]:
        first = asyncio.current_task()
        async with asyncio.timeout(60):  # it belongs to the task that it was opened in
            for _ in range(5):
                await asyncio.sleep(0)
                yield asyncio.current_task() is first


@service(timeout=20)
class Outer:
    streams = depends(Streams)

    @api
    async def relayed(self, after: int) -> AsyncIterator[Any]:
        async with contextlib.aclosing(self.streams.stuck(after)) as items:
            async for item in items:
                yield [item, current_caller.get().deadline < float("inf"), current_caller.get().has_left is not None]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Streams, Outer) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    watch.__init__()  # type: ignore[misc]
    yield
    watch.go_on.set()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.address, timeout=20) as made:
        yield made


def endpoint(server: Server, name: str) -> Endpoint:
    return server.services.endpoints[Streams][name]


def until(happened: Callable[[], bool]) -> None:
    for _ in range(2000):
        if happened():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never happened")


def events(body: str) -> list[tuple[str, str]]:
    """Server-sent events, read as the standard of HTML has it: any line end, fields, one space less."""
    found, kind, data = [], "", []
    for line in body.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                found.append((kind or "message", "\n".join(data)))
            kind, data = "", []
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)
    return found


# What comes through


@pytest.mark.parametrize("name", ["given", "given_async"])
@pytest.mark.parametrize(
    ("items", "kind", "body"),
    [
        (["a ", "", "b\nc", "ü"], "text/plain; charset=utf-8", "a b\ncü".encode()),
        ([b"\0\xff", b"", b"x"], "application/octet-stream", b"\0\xffx"),
        ([1, None, {"a": [2]}, "t"], "application/x-ndjson", b'1\nnull\n{"a":[2]}\nt'),
        ([np.arange(2), np.float32(0.5)], "application/x-ndjson", b"[0,1]\n0.5\n"),
        ([], "application/x-ndjson", b""),
    ],
    ids=["text", "bytes", "json", "arrays", "nothing"],
)
def test_plain_chunks(client: httpx.Client, name: str, items: list[Any], kind: str, body: bytes) -> None:
    to_give[:] = items
    answer = client.post(f"/{name}")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, kind, body)
    assert answer.headers["transfer-encoding"] == "chunked" and answer.headers["x-request-id"]


@pytest.mark.parametrize("name", ["given", "given_async"])
def test_events(client: httpx.Client, name: str) -> None:
    to_give[:] = ["a", "b\nc\r\n", "", " d", "f\rg", {"e": "f\n"}, 3, np.arange(2)]
    answer = client.post(f"/{name}", headers=EVENTS)
    assert answer.headers["content-type"] == "text/event-stream" and answer.headers["cache-control"] == "no-cache"
    assert events(answer.text) == [
        ("message", "a"),
        ("message", "b\nc\n"),
        ("message", ""),
        ("message", " d"),
        ("message", "f\ng"),
        ("json", '{"e":"f\\n"}'),
        ("json", "3"),
        ("json", "[0,1]"),
        ("end", ""),
    ]
    to_give.clear()
    assert events(client.post(f"/{name}", headers=EVENTS).text) == [("end", "")]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(codec="utf-8") | st.sampled_from("\n\r\u2028\x85\x0c:"), max_size=8), max_size=5))
def test_any_text_comes_as_it_went(server: Server, client: httpx.Client, texts: list[str]) -> None:
    to_give[:] = texts
    wanted = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]  # an event cannot hold the others
    body = client.post("/given", headers=EVENTS).content.decode()
    assert events(body) == [("message", text) for text in wanted] + [("end", "")]
    assert list(server.client.stream("given")) == wanted
    assert client.post("/given").content.decode() == "".join(texts)


def test_items_come_when_they_are_there(client: httpx.Client) -> None:
    for name in ("stuck", "stuck_async"):
        watch.__init__()  # type: ignore[misc]
        with client.stream("POST", f"/{name}", json={"after": 2}) as answer:
            parts = answer.iter_text()
            assert next(parts) + next(parts) == "0\n1\n", "though the third is not there"
            assert not watch.closed.is_set()
        watch.go_on.set()
        assert watch.closed.wait(10)


def test_an_asynchronous_generator_is_run_by_one_task(client: httpx.Client) -> None:
    assert client.post("/in_one_task").text == "true\n" * 5


def test_steps_of_one_method_take_turns_if_it_has_one_thread(server: Server) -> None:
    def ask() -> list[Any]:
        with Client(server.address) as client:
            return list(client.stream("counted", to=20))

    with ThreadPoolExecutor(3) as callers:
        asked = [callers.submit(ask) for _ in range(3)]
        assert [each.result() for each in asked] == [list(range(20))] * 3
    assert watch.most == 1


# What is told


@pytest.mark.parametrize("name", ["fails", "fails_async"])
@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["chunks", "events"])
def test_an_error_before_the_first_item_has_its_own_status(client: httpx.Client, name: str, headers: Any) -> None:
    told = client.post(f"/{name}", json={"after": 0, "how": "told"}, headers=headers)
    assert told.status_code == 422 and told.json()["field"] == "how"
    hidden = client.post(f"/{name}", json={"after": 0, "how": "hidden"}, headers=headers)
    assert hidden.status_code == 500 and "secret" not in hidden.text
    wrong = client.post(f"/{name}", json={"after": "x"}, headers=headers)
    assert wrong.status_code == 422 and wrong.json()["field"] == "after"


@pytest.mark.parametrize("name", ["fails", "fails_async"])
def test_an_error_in_the_middle_is_an_event(client: httpx.Client, caplog: pytest.LogCaptureFixture, name: str) -> None:
    *items, (kind, told) = events(client.post(f"/{name}", json={"after": 2, "how": "told"}, headers=EVENTS).text)
    assert json.loads(told)["request_id"]
    assert items == [("json", "0"), ("json", "1")] and kind == "error"
    assert json.loads(told)["code"] == "invalid_input" and json.loads(told)["field"] == "how"
    mine = {**EVENTS, "x-request-id": "mine"}
    with caplog.at_level(logging.ERROR, "servelab"):
        *items, (kind, told) = events(client.post(f"/{name}", json={"after": 2, "how": "hidden"}, headers=mine).text)
    assert (len(items), kind) == (2, "error") and json.loads(told) == {
        "error": "the stream broke off",
        "code": "internal",
        "request_id": "mine",
    }
    assert "KeyError: 'secret'" in caplog.text


@pytest.mark.parametrize("name", ["fails", "fails_async"])
@pytest.mark.parametrize("how", ["told", "hidden"])
def test_plain_chunks_break_off(client: httpx.Client, caplog: pytest.LogCaptureFixture, name: str, how: str) -> None:
    got = b""
    with (
        pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"),
        client.stream("POST", f"/{name}", json={"after": 2, "how": how}) as answer,
    ):
        for part in answer.iter_bytes():
            got += part
    assert got == b"0\n1\n" and client.get("/livez").status_code == 200


@pytest.mark.parametrize("name", ["stuck", "stuck_async"])
def test_patience_is_for_each_item(server: Server, client: httpx.Client, name: str) -> None:
    impatient = {"x-timeout-seconds": "0.2"}
    late = client.post(f"/{name}", json={"after": 0}, headers=impatient)
    assert late.status_code == 504 and late.json()["code"] == "deadline_exceeded"
    watch.go_on.set()
    assert watch.closed.wait(10)
    watch.__init__()  # type: ignore[misc]
    items = events(client.post(f"/{name}", json={"after": 2}, headers=EVENTS | impatient).text)
    assert items[:2] == [("json", "0"), ("json", "1")] and json.loads(items[2][1])["code"] == "deadline_exceeded"
    watch.go_on.set()
    assert watch.closed.wait(10)
    until(lambda: endpoint(server, name).inside == 0)


# Who is gone


@pytest.mark.parametrize("name", ["endless", "endless_async"])
@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["chunks", "events"])
def test_who_leaves_ends_the_generator(server: Server, name: str, headers: Any) -> None:
    with (
        httpx.Client(base_url=server.address, timeout=20) as client,
        client.stream("POST", f"/{name}", headers=headers) as answer,
    ):
        parts = answer.iter_bytes()  # when it is collected, the connection is closed
        next(parts)
        assert not watch.closed.is_set() and endpoint(server, name).inside == 1
    assert watch.closed.wait(10)
    until(lambda: endpoint(server, name).inside == 0)
    if name == "endless":
        assert watch.closed_by.startswith("Streams.endless"), "in its thread, and not on the loop"


@pytest.mark.parametrize("name", ["stuck", "stuck_async", "relayed"])
@pytest.mark.parametrize("after", [0, 1])
def test_so_does_who_leaves_while_it_works(server: Server, name: str, after: int) -> None:
    body = json.dumps({"after": after}).encode()
    head = f"POST /{name} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((server.host, server.port), timeout=20) as raw:
        raw.sendall(head.encode() + body)
        assert watch.stuck.wait(20)
    until(lambda: endpoint(server, "stuck" if name == "relayed" else name).inside == 0)
    if name != "stuck_async":
        assert not watch.closed.is_set(), "a thread cannot be interrupted: it closes when the step is done"
        watch.go_on.set()
    assert watch.closed.wait(10)
    if name == "stuck":
        assert watch.closed_by.startswith("Streams.stuck")


def test_a_reader_that_is_slow_holds_the_generator_back(server: Server) -> None:
    with httpx.Client(base_url=server.address, timeout=20) as client, client.stream("POST", "/endless") as answer:
        parts = answer.iter_bytes()
        next(parts)
        seen = -1
        while seen != watch.steps:  # until what lies between us is full; with nobody to hold it, it would go on
            assert watch.steps < 200_000
            seen = watch.steps
            threading.Event().wait(0.2)
        for _ in parts:
            if watch.steps > seen:
                break
    assert watch.closed.wait(10)


def test_so_many_at_once_and_no_more(server: Server, client: httpx.Client) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(3):
            caller = held.enter_context(httpx.Client(base_url=server.address, timeout=20))
            answer = held.enter_context(caller.stream("POST", "/stuck_async", json={"after": 1}))
            assert answer.status_code == 200
        refused = client.post("/stuck_async", json={"after": 1})
        assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
        assert refused.json()["code"] == "overloaded"
    until(lambda: endpoint(server, "stuck_async").inside == 0)
    assert client.post("/in_one_task").status_code == 200


def test_a_stream_of_another_service_knows_on_whose_behalf_it_runs(client: httpx.Client) -> None:
    watch.go_on.set()
    lines = [json.loads(line) for line in client.post("/relayed", json={"after": 3}).text.splitlines()]
    assert lines == [[item, True, True] for item in (0, 1, 2, -1)]


def test_a_server_ends_though_a_stream_does_not() -> None:
    before = threading.active_count()
    with serve(Streams) as server, Client(server.address) as client:
        items = client.stream("endless")
        assert next(items) == "x" * 1000
        items.close()
    assert watch.closed.wait(10) and threading.active_count() == before


# The kit's own client


def test_the_client_yields_items_and_raises_what_it_is_told(server: Server) -> None:
    to_give[:] = ["a", {"b": 1}, None, "c\nd"]
    assert list(server.client.stream("given")) == to_give
    with pytest.raises(ServiceError, match="how is not to my liking") as refused:
        list(server.client.stream("fails", after=0, how="told"))
    assert (refused.value.status, refused.value.code, refused.value.field) == (422, "invalid_input", "how")
    items = server.client.stream("fails", after=1, how="told")
    assert next(items) == 0
    with pytest.raises(ServiceError) as broken:
        next(items)
    assert (broken.value.status, broken.value.field) == (422, "how"), "the status that it would have had"


def test_a_stream_without_an_end_is_no_whole_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    to_give[:] = ["a"]
    event = native_routes._event
    monkeypatch.setattr(native_routes, "_event", lambda text, kind="": event(text, kind) if kind != "end" else b"")
    items = server.client.stream("given")
    assert next(items) == "a"
    with pytest.raises(ServiceError, match="the stream broke off"):
        next(items)
