"""A server on a real socket: every answer checked, every caller's mistake a 4xx, nobody else's rows."""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from helpers.errors import UserError
from helpers.serving.server import Server, listen, serve
from helpers.store import Store
from tests.engine.served import store_with_two_versions, twice_and_sum


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_with_two_versions(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(store: Store) -> Iterator[Server]:
    with serve("net:prod", store=store) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.address, timeout=10) as made:
        yield made


def tensor(name: str, rows: Any) -> dict[str, Any]:
    array = np.asarray(rows, np.float32)
    return {"name": name, "shape": array.shape, "datatype": "FP32", "data": array.ravel().tolist()}


def question(left: Any, right: Any) -> dict[str, Any]:
    return {"inputs": [tensor("left", left), tensor("right", right)]}


def expect_right(answer: dict[str, Any], left: Any, right: Any, factor: float = 2.0) -> None:
    wanted = np.asarray(left, np.float32) * factor + np.asarray(right, np.float32)
    found = {output["name"]: np.reshape(output["data"], output["shape"]) for output in answer["outputs"]}
    assert np.allclose(found["scaled"], wanted) and np.allclose(found["total"], wanted.sum(axis=1))


# A client that someone else wrote


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_gets_right_answers(server: Server, binary: bool) -> None:
    random = np.random.default_rng(0)
    with triton.InferenceServerClient(f"{server.host}:{server.port}") as client:
        for rows in (1, 2, 7):
            values = {name: random.random((rows, 3), dtype=np.float32) for name in ("left", "right")}
            inputs = []
            for name, value in values.items():
                asked = triton.InferInput(name, value.shape, "FP32")
                asked.set_data_from_numpy(value, binary_data=binary)
                inputs.append(asked)
            outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("total", "scaled")]
            found = client.infer("net", inputs, outputs=outputs, request_id="seven")
            wanted = values["left"] * 2 + values["right"]
            assert np.allclose(found.as_numpy("scaled"), wanted)
            assert np.allclose(found.as_numpy("total"), wanted.sum(axis=1))
            assert found.get_response()["id"] == "seven" and found.get_response()["model_version"] == "1"


def test_tritons_client_sees_health_metadata_and_the_repository(server: Server) -> None:
    with triton.InferenceServerClient(f"{server.host}:{server.port}") as client:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("net")
        assert not client.is_model_ready("other")
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        metadata = client.get_model_metadata("net")
        assert metadata["inputs"][0] == {"name": "left", "datatype": "FP32", "shape": [-1, 3]}
        assert [output["name"] for output in metadata["outputs"]] == ["scaled", "total"]
        assert client.get_model_repository_index() == [{"name": "net", "version": "1", "state": "READY", "reason": ""}]
        with pytest.raises(InferenceServerException):
            client.get_model_metadata("other")


def test_load_and_unload(store: Store, tmp_path: Path) -> None:
    with (
        serve("net:prod", store=store) as server,
        triton.InferenceServerClient(f"{server.host}:{server.port}") as client,
    ):
        client.unload_model("net")
        assert not client.is_model_ready("net")
        assert client.get_model_repository_index()[0]["state"] == "UNAVAILABLE"
        client.load_model("net")
        assert client.is_model_ready("net")
        assert client.get_model_metadata("net")["versions"] == ["2"], "no alias was named, so the latest"
        with pytest.raises(InferenceServerException, match="no model called 'other'"):
            client.load_model("other")


# Mistakes


def v2(**changes: Any) -> dict[str, Any]:
    return question([[1, 2, 3]], [[4, 5, 6]]) | changes


LEFT, RIGHT = tensor("left", [[1, 2, 3]]), tensor("right", [[4, 5, 6]])


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([LEFT], "right is missing; expected float32 of shape (batch, 3)"),
        ([LEFT, RIGHT, tensor("more", [[1]])], "more is not an input of the model; expected the inputs left, right"),
        ([LEFT, LEFT, RIGHT], "left is there twice"),
        ([LEFT | {"datatype": "FP64"}, RIGHT], "left is float64 of shape (1, 3); expected float32"),
        ([LEFT | {"shape": [3]}, RIGHT], "left is float32 of shape (3,); expected"),
        ([LEFT | {"shape": [3, 1]}, RIGHT], "left is float32 of shape (3, 1); expected"),
        ([LEFT | {"shape": [0, 3], "data": []}, RIGHT], "left is empty, of shape (0, 3); expected"),
        ([LEFT | {"shape": [2, 3]}, RIGHT], "3 elements; expected 6"),
        ([LEFT | {"shape": [-1, -3]}, RIGHT], "axes of 0 or more"),
        ([LEFT | {"shape": [2**31, 2**31]}, RIGHT], "at most"),
        ([tensor("left", [[1, 2, 3]] * 2), RIGHT], "of another number of rows (left 2, right 1)"),
    ],
)
def test_a_wrong_tensor_is_a_422_that_names_it(client: httpx.Client, inputs: list[Any], said: str) -> None:
    answer = client.post("/v2/models/net/infer", json={"inputs": inputs})
    told = answer.json()
    assert answer.status_code == 422 and said in told["error"] and told["code"] == "invalid_input"
    assert told["field"] in ("left", "right", "more")
    expect_right(client.post("/v2/models/net/infer", json=v2()).json(), [[1, 2, 3]], [[4, 5, 6]])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v2/models/net/infer", b"{", 400),
        ("POST", "/v2/models/net/infer", b'{"inputs": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", 400),
        ("POST", "/v2/models/net/infer", b"", 400),
        ("GET", "/v2/models/net/infer", None, 405),
        ("POST", "/v2/models/other/infer", b"{}", 404),
        ("POST", "/v2/models/net/versions/9/infer", b"{}", 404),
        ("GET", "/v2/models/..%2f..%2fetc%2fpasswd", None, 404),
        ("POST", "/v2/repository/models/..%2f..%2fetc/load", b"", 404),
        ("POST", "/v2/repository/models/" + "x" * 5000 + "/load", b"", 404),
        ("GET", "/v2/repository/models/net/load", None, 405),
        ("GET", "/nothing/here", None, 404),
        ("POST", "/", b"{}", 405),
        ("PUT", "/v2/models/net/infer", b"{}", 405),
    ],
)
def test_other_mistakes_are_told_as_such(
    client: httpx.Client, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = client.request(method, path, content=body)
    assert answer.status_code == status
    assert answer.json()["error"] and "Traceback" not in answer.text
    assert len(answer.content) < 2000


def test_a_body_that_comes_byte_by_byte(server: Server) -> None:
    body = json.dumps(v2()).encode()
    head = f"POST /v2/models/net/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((server.host, server.port), timeout=10) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head.encode() + body:
            raw.sendall(bytes([byte]))
        answer = b""
        while part := raw.recv(4096):
            answer += part
    expect_right(json.loads(answer.partition(b"\r\n\r\n")[2]), [[1, 2, 3]], [[4, 5, 6]])


def test_clients_that_leave_in_the_middle_disturb_nobody(server: Server, client: httpx.Client) -> None:
    body = json.dumps(v2()).encode()
    head = f"POST /v2/models/net/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for number in range(200):
        raw = socket.create_connection((server.host, server.port), timeout=10)
        raw.sendall((head + body)[: len(head) + number % len(body)])
        raw.close()
    expect_right(client.post("/v2/models/net/infer", json=v2()).json(), [[1, 2, 3]], [[4, 5, 6]])
    assert server.metrics.requests(500) == 0


@pytest.mark.parametrize("header", ["-1", "abc", "nan", "inf", "0", ""])
def test_a_patience_that_is_no_number_is_told(client: httpx.Client, header: str) -> None:
    answer = client.post("/v2/models/net/infer", json=v2(), headers={"x-timeout-seconds": header})
    assert answer.status_code == 400 and "x-timeout-seconds" in answer.json()["error"]


def test_a_caller_knows_its_request_by_its_number(client: httpx.Client) -> None:
    assert client.get("/livez", headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    numbers = {client.get("/livez").headers["x-request-id"] for _ in range(5)}
    assert len(numbers) == 5


def test_many_at_once_each_get_their_own_rows(server: Server) -> None:
    async def ask(client: httpx.AsyncClient, number: int) -> None:
        rows = [[number, number + 0.5, -number]] * (1 + number % 3)
        answer = await client.post("/v2/models/net/infer", json=question(rows, rows))
        assert answer.status_code == 200
        expect_right(answer.json(), rows, rows)

    async def all_of_them() -> None:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=server.address, limits=limits, timeout=30) as client:
            await asyncio.gather(*(ask(client, number) for number in range(400)))

    asyncio.run(all_of_them())
    (lane,) = (servable.lane for servable in server.registry.models["net"].versions.values())
    assert lane.scheduler.queued_rows == 0


def test_what_is_counted_can_be_read(client: httpx.Client) -> None:
    client.post("/v2/models/net/infer", json=v2())
    client.get("/v2/models/other")
    text = client.get("/metrics").text
    assert 'servelab_requests_total{route="v2",status="200"}' in text
    assert 'servelab_requests_total{route="v2",status="404"}' in text
    assert 'servelab_batch_limit{model="net",version="1"}' in text
    from prometheus_client.parser import text_string_to_metric_families

    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["servelab_request_seconds"].type == "histogram"


# A server's life


def test_a_new_version_takes_over_and_a_broken_one_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.save("net", twice_and_sum(tmp_path / "net.onnx", 2.0))
    stop, wrong, asked = threading.Event(), [], [0]
    rows = [[1, 2, 3]]

    def keep_asking(address: str) -> None:
        with httpx.Client(base_url=address, timeout=10) as client:
            while not stop.is_set():
                answer = client.post("/v2/models/net/infer", json=question(rows, rows))
                asked[0] += 1
                factor = {"1": 2.0, "2": 3.0}.get(answer.json().get("model_version"))
                scaled = answer.json()["outputs"][0]["data"] if answer.status_code == 200 else None
                if factor is None or not np.allclose(scaled, np.array(rows[0]) * (factor + 1)):
                    wrong.append(answer.text)

    with serve("net", store=store) as server, httpx.Client(base_url=server.address, timeout=10) as client:
        callers = [threading.Thread(target=keep_asking, args=(server.address,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        while asked[0] < 40:
            callers[0].join(0.01)
        store.save("net", twice_and_sum(tmp_path / "net.onnx", 3.0))
        assert client.post("/v2/repository/models/net/load").status_code == 200
        assert client.get("/v2/models/net").json()["versions"] == ["2"]
        store.save("net", twice_and_sum(tmp_path / "net.onnx", 4.0))
        (broken,) = (store.root / "net" / "3").glob("*.onnx")
        broken.write_bytes(broken.read_bytes()[:-10])
        refused = client.post("/v2/repository/models/net/load")
        assert refused.status_code == 503 and "is not what was saved" in refused.json()["error"]
        assert client.get("/v2/models/net").json()["versions"] == ["2"], "the one before serves on"
        until = asked[0] + 40
        while asked[0] < until:
            callers[0].join(0.01)
        stop.set()
        for caller in callers:
            caller.join()
    assert not wrong


def test_who_waits_for_the_old_version_is_answered_by_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.save("net", twice_and_sum(tmp_path / "net.onnx", 2.0))
    store.save("net", twice_and_sum(tmp_path / "net.onnx", 3.0))
    store.alias("net:1", "prod")
    answers: list[Any] = []

    def ask(address: str) -> None:
        answers.append(httpx.post(f"{address}/v2/models/net/infer", json=v2(), timeout=20).json())

    with serve("net:prod", store=store) as server, httpx.Client(base_url=server.address, timeout=20) as client:
        old = server.registry.find("net").lane
        run, go = old.run, threading.Event()

        def held(arrays: list[np.ndarray]) -> list[np.ndarray]:
            go.wait(15)
            return run(arrays)

        old.run = held
        old._is_quick = lambda rows: False  # type: ignore[method-assign]  # so that it runs in its thread
        callers = [threading.Thread(target=ask, args=(server.address,)) for _ in range(6)]
        for caller in callers:
            caller.start()
        while old.scheduler.queued_rows < 1 or not old._running:
            callers[0].join(0.01)
        store.alias("net:2", "prod")
        assert client.post("/v2/repository/models/net/load").status_code == 200
        assert client.post("/v2/models/net/infer", json=v2()).json()["model_version"] == "2"
        go.set()
        for caller in callers:
            caller.join()
    assert len(answers) == 6 and {answer["model_version"] for answer in answers} <= {"1", "2"}
    assert sum(answer["model_version"] == "1" for answer in answers) >= 2
    for answer in answers:
        expect_right(answer, [[1, 2, 3]], [[4, 5, 6]], factor=float(answer["model_version"]) + 1)


def test_what_was_accepted_is_answered_before_the_end(store: Store) -> None:
    done: list[int] = []

    def ask(address: str) -> None:
        with httpx.Client(base_url=address, timeout=10) as client:
            done.append(client.post("/v2/models/net/infer", json=v2()).status_code)

    with serve("net", store=store) as server:
        slow = server.registry.find("net").lane
        run, started = slow.run, threading.Event()

        def slower(arrays: list[np.ndarray]) -> list[np.ndarray]:
            started.set()
            time.sleep(0.3)  # the model's own time: it is what the server must wait for
            return run(arrays)

        slow.run = slower
        caller = threading.Thread(target=ask, args=(server.address,))
        caller.start()
        assert started.wait(10)
    caller.join()
    assert done == [200]


def test_a_tag_that_is_not_there_is_told_where_the_server_was_asked_for(store: Store) -> None:
    with pytest.raises(UserError, match="no version '9'"), serve("net:9", store=store):
        pass


def test_a_port_that_is_taken_is_told(server: Server, store: Store) -> None:
    with pytest.raises(UserError, match=f"Port {server.port} of 127.0.0.1 cannot be used"):
        listen("127.0.0.1", server.port)


def test_the_programs_own_logging_is_left_alone(store: Store) -> None:
    class Kept(logging.Handler):
        closed = False

        def emit(self, record: logging.LogRecord) -> None:
            """Nothing is logged here."""

        def close(self) -> None:
            self.closed = True
            super().close()

    kept = Kept()
    with serve("net", store=store):
        assert not kept.closed


def test_nothing_stays_behind(store: Store) -> None:
    before = threading.active_count()
    with serve("net", store=store) as server:
        port = server.port
        assert httpx.get(f"{server.address}/readyz").status_code == 200
    assert threading.active_count() == before
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_a_server_may_be_stopped_as_soon_as_it_is_there(store: Store) -> None:
    before = threading.active_count()
    for _ in range(5):
        with serve("net", store=store) as server:
            port = server.port
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
    assert threading.active_count() == before
