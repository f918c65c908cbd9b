"""Many at once, some of them hostile: nothing lost, nobody else's answer, nobody starved, and nothing kept."""

import asyncio
import gc
import json
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from helpers.engine import Batching, Tensor, api, service
from helpers.engine.lane import Lane
from helpers.serving.server import Server, Settings, listen, serve
from helpers.store import Store
from tests.engine.served import store_with_two_versions
from tests.serving.connection import HONEST, V1, V1_ANSWER, Held, Wire, any_width, post, table_of_four, until


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("served")
    store = store_with_two_versions(folder)
    store.save("table", table_of_four(folder / "table.onnx"))
    store.save("sums", any_width(folder / "sums.onnx"))
    return store


@pytest.fixture
def server(store: Store) -> Iterator[Server]:
    with serve("net:prod", "table", "sums", store=store) as running:
        yield running


def rows_for(model: str, rows: Any, *headers: str) -> bytes:
    return post(f"/v1/models/{model}:predict", json.dumps({"instances": rows}).encode(), *headers)


def lane_of(server: Server, model: str) -> Lane:
    return server.registry.find(model).lane


async def at_once(server: Server, requests: list[bytes]) -> list[Any]:
    """Each over a connection of its own."""

    async def ask(request: bytes) -> Any:
        async with Wire(server) as wire:
            return await wire.ask(request)

    return await asyncio.gather(*map(ask, requests))


# Who goes together


@pytest.mark.parametrize("slow", [True, False])
async def test_a_poisoned_row_fails_alone(server: Server, slow: bool) -> None:
    held = Held(lane_of(server, "table")) if slow else None
    poisoned = {3, 17, 18, 40}
    requests = [rows_for("table", [[number % 4, 9 if number in poisoned else 1]]) for number in range(60)]
    asking = asyncio.ensure_future(at_once(server, requests * 3))
    if held is not None:
        await until(lambda: sum(held.sizes) + held.lane.scheduler.queued_rows == 180)
        held.go.set()
    for number, found in enumerate(await asking):
        if number % 60 in poisoned:
            assert found.status == 422 and found.json["code"] == "invalid_input" and "predictions" not in found.json
        else:
            assert found.status == 200 and found.json == {"predictions": [[number % 4 * 10, 10]]}
    assert held is None or max(held.sizes) > 4, "they really were together"


async def test_rows_of_different_lengths_at_once(server: Server) -> None:
    held, random = Held(lane_of(server, "sums")), np.random.default_rng(0)
    asked = [random.integers(0, 9, (1 + n % 3, 1 + n % 7)).tolist() for n in range(210)]
    asking = asyncio.ensure_future(at_once(server, [rows_for("sums", rows) for rows in asked]))
    await until(lambda: sum(held.sizes) + held.lane.scheduler.queued_rows == sum(map(len, asked)))
    held.go.set()
    for rows, found in zip(asked, await asking, strict=True):
        assert found.json == {"predictions": [sum(row) for row in rows]}
    assert {work[0].shape[1] for work in held.given} == {1, 2, 3, 4, 5, 6, 7}
    assert len(held.given) < 100, "and those of one length went together"


# Who waits, and for how long


async def test_what_expired_in_the_queue_never_runs(server: Server) -> None:
    held = Held(lane_of(server, "net"))
    async with Wire(server) as first, Wire(server) as patient:
        await first.send(HONEST)
        await until(lambda: held.sizes == [1])
        await patient.send(HONEST)
        impatient = post("/v1/models/net:predict", V1, "X-Timeout-Seconds: 0.05")
        for found in await at_once(server, [impatient] * 20):  # they are told while the model is still busy
            assert found.status == 504 and found.json["code"] == "deadline_exceeded"
        held.go.set()
        assert (await first.answer()).json == (await patient.answer()).json == V1_ANSWER
    assert held.sizes == [1, 1]


async def test_when_the_queue_is_full_some_are_sent_away_and_the_others_answered(server: Server) -> None:
    held, connections = Held(lane_of(server, "net")), server._http.connections
    held.lane.scheduler.most_rows = 20
    async with Wire(server) as first:
        await first.send(HONEST)
        await until(lambda: held.sizes == [1])
        waiting = [await Wire(server).__aenter__() for _ in range(20)]
        for wire in waiting:
            await wire.send(HONEST)
        await until(lambda: held.lane.scheduler.queued_rows == 20)
        for found in await at_once(server, [HONEST] * 30):
            assert found.status == 503 and found.json["code"] == "overloaded" and int(found.headers["retry-after"]) >= 1
        held.go.set()
        for wire in (first, *waiting):
            assert (await wire.answer()).json == V1_ANSWER
            wire.writer.close()
    assert sum(held.sizes) == 21
    await until(lambda: not connections)


async def test_who_has_left_takes_no_place_in_a_full_queue(server: Server) -> None:
    held, connections = Held(lane_of(server, "net")), server._http.connections
    held.lane.scheduler.most_rows = 20
    async with Wire(server) as first, Wire(server) as honest:
        await first.send(HONEST)
        await until(lambda: held.sizes == [1])
        leaving = [await Wire(server).__aenter__() for _ in range(20)]
        for wire in leaving:
            await wire.send(HONEST)
        await until(lambda: held.lane.scheduler.queued_rows == 20)
        for wire in leaving:
            wire.writer.transport.abort()
        await until(lambda: sum(each.has_left() for each in connections) == 20)
        await honest.send(HONEST)
        await until(lambda: held.lane.scheduler.queued_rows == 1)
        held.go.set()
        assert (await honest.answer()).json == V1_ANSWER
    assert held.sizes == [1, 1]


@pytest.mark.parametrize("slow", [True, False])
async def test_a_burst_after_a_quiet_spell_is_served(server: Server, slow: bool) -> None:
    if slow:
        Held(lane_of(server, "net")).go.set()
    async with Wire(server) as lone:
        for _ in range(3):
            for _ in range(100):
                assert (await lone.ask(HONEST)).status == 200
            found = await at_once(server, [post("/v1/models/net:predict", V1, "X-Timeout-Seconds: 5")] * 64)
            assert [each.status for each in found] == [200] * 64 and all(each.json == V1_ANSWER for each in found)


@pytest.mark.parametrize("slow", [True, False])
async def test_a_flooded_model_does_not_starve_another(server: Server, slow: bool) -> None:
    """Counted in batches of the flooded model between a request for the other and its answer."""
    flooded, other = lane_of(server, "net"), lane_of(server, "sums")
    if slow:
        Held(flooded).go.set()
    passed: list[int] = []
    ask = other.ask

    async def counted(*args: Any, **named: Any) -> Any:
        other._gathering, before = True, flooded.batches  # it takes its turn, and is not answered on the spot
        answer = await ask(*args, **named)
        passed.append(flooded.batches - before)
        return answer

    other.ask = counted  # type: ignore[method-assign]
    over = asyncio.Event()

    async def flood() -> None:
        async with Wire(server) as wire:
            while not over.is_set():
                await wire.send(HONEST * 20)
                for _ in range(20):
                    assert (await wire.answer()).status == 200

    async with asyncio.TaskGroup() as tasks, Wire(server) as wire:
        for _ in range(16):
            tasks.create_task(flood())
        await until(lambda: flooded.batches > 100)
        for _ in range(100):
            assert (await wire.ask(rows_for("sums", [[1, 2]]))).json == {"predictions": [3]}
        over.set()
    # A turn of the loop answers each connection once; twenty requests wait on each at any time.
    assert len(passed) == 100 and max(passed) <= 2 * 16


async def test_a_model_that_is_unloaded_under_load_answers_or_is_gone(server: Server) -> None:
    seen: set[int] = set()
    answers = 0

    async def keep_asking(stop: asyncio.Event) -> None:
        nonlocal answers
        async with Wire(server) as wire:
            while not stop.is_set():
                found = await wire.ask(rows_for("sums", [[1, 2]]))
                assert found.json == {"predictions": [3]} or (found.status == 404 and found.json["code"] == "not_found")
                seen.add(found.status)
                answers += 1

    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks, Wire(server) as wire:
        for _ in range(8):
            tasks.create_task(keep_asking(stop))
        for change in ("unload", "load") * 5:
            until_then = answers + 50
            await until(lambda: answers >= until_then)  # noqa: B023
            assert (await wire.ask(post(f"/v2/repository/models/sums/{change}", b""))).status == 200
        stop.set()
    assert seen == {200, 404} and server.metrics.requests(500) == 0


# What stays


@service
class Sums:
    @api(batching=Batching())
    def add_up(self, rows: Tensor["float32", "batch", "width"]) -> Tensor["float32", "batch"]:  # noqa: F821
        return rows.sum(axis=1)


def blocks() -> int:
    """What Python holds in memory, in pieces: not a measure of time, nor of what else the machine does."""
    gc.collect()
    return sys.getallocatedblocks()


async def test_memory_does_not_grow_over_a_hundred_thousand_requests(store: Store) -> None:
    with listen("127.0.0.1", 0) as listening:
        server = Server(["sums", "table", Sums], listening, store, Settings())
        for target in server.targets:
            await server._take_in(target)
    statuses: dict[int, int] = {}

    async def ask(number: int) -> None:
        path, body, headers = varied(number)
        parts = [{"type": "http.request", "body": body}]

        async def receive() -> dict[str, Any]:
            return parts.pop()

        async def send(message: dict[str, Any]) -> None:
            if "status" in message:
                statuses[message["status"]] = statuses.get(message["status"], 0) + 1

        await server({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)

    async def ask_all(numbers: range) -> None:
        for first in numbers[::4]:
            await asyncio.gather(*map(ask, range(first, first + 4)))

    await ask_all(range(20_000))
    before = blocks()
    await ask_all(range(20_000, 100_000))
    grown = blocks() - before
    server.services.close()
    server.registry.close()
    assert sum(statuses.values()) == 100_000 and statuses.keys() == {200, 400, 404, 422}
    assert grown < 4_000, "of 80,000 requests not one in twenty may leave a single object behind"


def varied(number: int) -> tuple[str, bytes, list[tuple[bytes, bytes]]]:
    """Another number each time, and in turn other paths, shapes, forms and mistakes."""
    number_of = [(b"x-request-id", b"%d" % number)]
    if number % 8 == 6:
        return "/v1/models/table:predict", json.dumps({"instances": [[number, 1]]}).encode(), number_of
    if number % 8 == 7:
        unknown = f"/v2/models/m{number}/infer", f"/{number}", "/v2/models/sums/infer"
        return unknown[number // 8 % 3], b"%d" % number, number_of
    path, body, headers = right(number % (8 * 13 * 37))
    return path, body, headers + number_of


@cache
def right(number: int) -> tuple[str, bytes, list[tuple[bytes, bytes]]]:
    rows, width = 1 + number % 13, 1 + number % 37
    raw = np.ones((rows, width), "<f4").tobytes()
    told: dict[str, Any] = {"name": "x", "shape": [rows, width], "datatype": "FP32"}
    match number % 8:
        case 0 | 1:
            head = json.dumps({"inputs": [told | {"parameters": {"binary_data_size": len(raw)}}]}).encode()
            length = (b"inference-header-content-length", b"%d" % len(head))
            return "/v2/models/sums/infer", head + raw, [length]
        case 2 | 3:
            body = json.dumps({"inputs": [told | {"data": [1] * rows * width}]}).encode()
            return "/v2/models/sums/infer", body, []
        case 4:
            return "/v1/models/sums:predict", json.dumps({"instances": [[1] * width] * rows}).encode(), []
        case _:
            return "/add_up", json.dumps({"rows": [[1] * width] * rows}).encode(), []
