"""What comes over a connection: torn, late, doubled, half or lying; and the connection afterwards."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.serving import server as server_module
from helpers.serving.server import Server, Settings, new_loop, serve
from helpers.store import Store
from tests.engine.served import store_with_two_versions, twice_and_sum
from tests.serving.connection import HONEST, V1, V1_ANSWER, Held, Wire, expect_honest_answer, post, send_too_much, until

LARGEST = 500_000
INFER = "/v2/models/net/infer"


@pytest.fixture(scope="module", params=[new_loop, asyncio.SelectorEventLoop], ids=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """On uvloop; and on asyncio's own loop, as where there is no other."""
    folder = tmp_path_factory.mktemp("served")
    store = store_with_two_versions(folder)
    Store(folder / "outside").save("secret", twice_and_sum(folder / "secret.onnx"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_module, "new_loop", request.param)
        with serve("net:prod", store=store, settings=Settings(largest_body=LARGEST)) as running:
            yield running
        assert running.metrics.requests(500) == 0


def binary(left_says: object, right_says: object, length: int | None = None, tail: bytes = bytes(24)) -> bytes:
    """A request in raw tensors that says so and so many bytes of each."""
    head = json.dumps(
        {
            "inputs": [
                {"name": name, "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": says}}
                for name, says in (("left", left_says), ("right", right_says))
            ]
        }
    ).encode()
    told = len(head) if length is None else length
    return post(INFER, head + tail, f"Inference-Header-Content-Length: {told}")


OFFER = (
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"
)

MISTAKES = {
    "no JSON": (post(INFER, b"{"), 400),
    "nothing": (post(INFER, b""), 400),
    "nested": (post(INFER, b'{"inputs":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), 400),
    "nested in v1": (post("/v1/models/net:predict", b'{"inputs":' + b"[" * 200_000), 400),
    "no input": (post(INFER, b'{"inputs":[]}'), 422),
    "no such path": (post("/no/where", V1), 404),
    "no such model": (post("/v2/models/other/infer", V1), 404),
    "wrong method": (b"DELETE /v2/models/net/infer HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "no path": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "a body where none belongs": (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 200),
    "another protocol": (b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
    "HTTP/2 offered, as Java does": (post("/v1/models/net:predict", V1, OFFER), 200),
    "right": (binary(12, 12), 200),
    "more than there is": (binary(12, 13), 422),
    "less than its shape": (binary(8, 16), 422),
    "less than there is": (binary(12, 12, tail=bytes(25)), 400),
    "below nothing": (binary(-12, 36), 422),
    "huge": (binary(2**62, 12), 422),
    "beyond 64 bits": (binary(2**80, 12), 422),
    "half": (binary(12.0, 12), 422),
    "text": (binary("12", 12), 422),
    "header longer than the body": (binary(12, 12, length=100_000), 400),
    "header cut": (binary(12, 12, length=20), 400),
    "header into the bytes": (binary(12, 12, length=len(binary(12, 12))), 400),
    "no header": (binary(12, 12, length=0), 400),
    "header below nothing": (binary(12, 12, length=-5), 400),
    "impatient": (post("/v1/models/net:predict", V1, "X-Timeout-Seconds: soon"), 400),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_after_a_mistake_the_connection_serves_on(server: Server, mistake: str) -> None:
    request, status = MISTAKES[mistake]
    async with Wire(server) as wire:
        found = await wire.ask(request)
        assert found.status == status and len(found.body) < 1000 and b"Traceback" not in found.body
        assert status == 200 or found.json["error"]
        await expect_honest_answer(wire)


async def test_requests_sent_without_waiting_are_answered_in_their_order(server: Server) -> None:
    async with Wire(server) as wire:
        order = [MISTAKES[name] for name in ("right", "no JSON", "no such path", "below nothing", "right")] * 10
        await wire.send(b"".join(request.replace(b"Host: x", b"Host: x\r\nX-Request-Id: %d" % number, 1)
                                 for number, (request, _) in enumerate(order)))  # fmt: skip
        for number, (_, status) in enumerate(order):
            found = await wire.answer()
            assert (found.status, found.headers["x-request-id"]) == (status, str(number))
        await expect_honest_answer(wire)


@pytest.mark.parametrize("request_", [
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01",
], ids=["length below 0", "two lengths", "length and chunks", "no chunk", "no ASCII", "proxy", "TLS"])  # fmt: skip
async def test_what_is_no_request_is_a_400_and_the_end(server: Server, request_: bytes) -> None:
    async with Wire(server) as wire:
        assert (await wire.ask(request_)).status == 400 and await wire.ends() == b""


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_answered_and_ends_the_connection(server: Server, chunked: bool) -> None:
    async with Wire(server) as wire:
        await send_too_much(wire, LARGEST, chunked)
        found = await wire.answer()  # though all of it was sent before the answer was read
        assert found.status == 413 and found.headers["connection"] == "close" and found.json["code"] == "too_large"
        assert await wire.ends() == b""


async def test_a_body_over_the_limit_is_refused_before_any_of_it_came(server: Server) -> None:
    async with Wire(server) as wire:
        found = await wire.ask(
            b"POST /v2/models/net/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n"
        )
        assert found.status == 413


async def test_who_asks_whether_to_go_on_is_told(server: Server) -> None:
    head = b"POST /v1/models/net:predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    async with Wire(server) as wire:
        assert (await wire.ask(head % len(V1))).status == 100
        assert (await wire.ask(V1)).json == V1_ANSWER
        assert (await wire.ask(head % (LARGEST + 1))).status == 413, "and nothing was said of going on"


async def test_a_body_in_chunks_of_a_byte(server: Server) -> None:
    head = b"POST /v1/models/net:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with Wire(server) as wire:
        for _ in range(2):
            await wire.send(head, *(b"1\r\n%c\r\n" % byte for byte in V1), b"0\r\n\r\n")
            assert (await wire.answer()).json == V1_ANSWER


async def test_a_hundred_slow_clients_keep_nobody_waiting(server: Server) -> None:
    half = len(HONEST) // 2
    one_by_one = [bytes([byte]) for byte in HONEST]
    async with asyncio.TaskGroup() as tasks, Wire(server) as honest:
        slow = [await Wire(server).__aenter__() for _ in range(100)]
        for first in [tasks.create_task(wire.send(*one_by_one[:half])) for wire in slow]:
            await first
        for _ in range(20):  # while a hundred are in the middle of a word
            await expect_honest_answer(honest)
        for rest in [tasks.create_task(wire.send(*one_by_one[half:])) for wire in slow]:
            await rest
        for wire in slow:
            assert (await wire.answer()).json == V1_ANSWER
            wire.writer.close()


async def test_the_work_of_those_who_left_while_it_was_queued_is_never_done(tmp_path: Path) -> None:
    with serve("net:prod", store=store_with_two_versions(tmp_path)) as server:
        lane = server.registry.find("net").lane
        held, connections = Held(lane), server._http.connections
        async with Wire(server) as first, Wire(server) as honest:
            await first.send(HONEST)
            await until(lambda: held.sizes == [1])
            leaving = [await Wire(server).__aenter__() for _ in range(200)]
            for wire in leaving:
                await wire.send(HONEST)
            await honest.send(HONEST)
            await until(lambda: lane.scheduler.queued_rows == 201)
            for wire in leaving:
                wire.writer.transport.abort()
            await until(lambda: sum(each.has_left() for each in connections) == 200)
            held.go.set()
            assert (await first.answer()).json == (await honest.answer()).json == V1_ANSWER
        assert held.sizes == [1, 1] and lane.scheduler.queued_rows == 0
        await until(lambda: server.metrics.requests(499) == 200)
        await until(lambda: server.metrics.requests(200) == 2)


async def test_a_head_has_no_body_and_the_next_answer_follows(server: Server) -> None:
    async with Wire(server) as wire:
        for path, status in (("/livez", 200), ("/v2/models/net/infer", 405), ("/nothing", 404)):
            await wire.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            found = await wire.answer(has_body=False)
            assert found.status == status and int(found.headers["content-length"]) > 0
        await expect_honest_answer(wire)


async def test_the_old_http_is_answered_and_the_connection_closed(server: Server) -> None:
    async with Wire(server) as wire:
        assert (await wire.ask(HONEST.replace(b"HTTP/1.1", b"HTTP/1.0"))).json == V1_ANSWER
        assert await wire.ends() == b""


@pytest.mark.parametrize(
    ("given", "found"),
    [("a" * 128, "a" * 128), ("a" * 129, "a" * 128), ("Zürich 東京".encode().decode("latin-1"),) * 2, ("a\tb", "a\tb")],
    ids=["128", "129", "UTF-8", "tab"],
)
async def test_a_request_keeps_its_number(server: Server, given: str, found: str) -> None:
    async with Wire(server) as wire:
        for path, status in (("/v1/models/net:predict", 200), ("/v1/models/other:predict", 404)):
            answer = await wire.ask(post(path, V1, f"X-Request-Id: {given}"))
            assert (answer.status, answer.headers["x-request-id"]) == (status, found)
        assert (await wire.ask(post("/livez", b"", "X-Request-Id: "))).headers["x-request-id"], (
            "one of the server's own"
        )


ESCAPES = [
    "..", ".", "%2e%2e", "..%2foutside%2fsecret", "..%2foutside", "%2fetc%2fpasswd", "..%5coutside", "net%00", "%00",
    "net%2f..%2f..%2foutside%2fsecret", "net%2f2", "~", "$HOME", "%ff", "net%0a", "NET", "x" * 3000,
    "net:..", "net%3A%2e%2e",
]  # fmt: skip


@pytest.mark.parametrize("name", ESCAPES, ids=lambda name: name[:20])
async def test_no_name_leads_out_of_the_store(server: Server, name: str) -> None:
    paths = [
        f"/v2/models/{name}/infer",
        f"/v2/models/net/versions/{name}/infer",
        f"/v2/repository/models/{name}/load",
        f"/v2/repository/models/{name}/unload",
        f"/v1/models/{name}:predict",
        f"/v1/models/net/versions/{name}:predict",
        f"/v1/models/net/labels/{name}:predict",
    ]
    async with Wire(server) as wire:
        for path in paths:
            found = await wire.ask(post(path, V1))
            assert found.status == 404 and found.json["code"] == "not_found" and len(found.body) < 700, path
        await expect_honest_answer(wire)
    assert list(server.registry.models) == ["net"] and list(server.registry.models["net"].versions) == ["1"]


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
async def test_numbers_that_are_none_are_refused_if_that_was_asked_for(tmp_path: Path) -> None:
    with serve("net:prod", store=store_with_two_versions(tmp_path), settings=Settings(finite_only=True)) as server:
        async with Wire(server) as wire:
            for wrong in (np.nan, np.inf, -np.inf):
                tail = np.array([1, 2, 3, 4, wrong, 6], "<f4").tobytes()
                found = await wire.ask(binary(12, 12, tail=tail))
                assert found.status == 422 and found.json["field"] == "right"
                assert found.json["expected"] == "finite numbers only"
            for text, statuses in ((b"null", {422}), (b"1e39", {422}), (b"NaN", {400}), (b"1e999", {400, 422})):
                body = V1.replace(b"5", text)
                assert (await wire.ask(post("/v1/models/net:predict", body))).status in statuses
                inputs = [
                    {"name": name, "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 5]} for name in ("left", "right")
                ]
                body = json.dumps({"inputs": inputs}).encode().replace(b"5", text)
                assert (await wire.ask(post(INFER, body))).status in statuses
            await expect_honest_answer(wire)


async def test_without_that_they_are_answered_and_are_null_in_json(server: Server) -> None:
    async with Wire(server) as wire:
        found = await wire.ask(binary(12, 12, tail=np.array([1, 2, 3, 4, np.nan, 6], "<f4").tobytes()))
        assert [output["data"] for output in found.json["outputs"]] == [[6, None, 12], [None]]
