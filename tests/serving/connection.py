"""HTTP as it goes over the wire, for tests that send what no decent client would; and models that can be held up."""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import onnx
from onnx import TensorProto, helper

from helpers.engine.lane import Lane
from helpers.serving.server import Server

V1 = json.dumps({"instances": [{"left": [1, 2, 3], "right": [4, 5, 6]}]}).encode()
V1_ANSWER = {"predictions": [{"scaled": [6, 9, 12], "total": 27}]}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(self.server.host, self.server.port)
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.writer.close()

    async def send(self, *parts: bytes) -> None:
        """Each part in a packet of its own."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def answer(self, has_body: bool = True) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)) if has_body else 0)
        return Answer(int(first.split()[1]), headers, body)

    async def ask(self, *parts: bytes) -> Answer:
        await self.send(*parts)
        return await self.answer()

    async def ends(self) -> bytes:
        """What comes until the server closes the connection."""
        return await self.reader.read()


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def send_too_much(wire: Wire, limit: int, chunked: bool) -> None:
    """A body eight times as long as may be, to its end, before anything is read."""
    body, times = b"x" * 10_000, 8 * limit // 10_000
    head = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (times * len(body))
    part = b"2710\r\n" + body + b"\r\n" if chunked else body
    await wire.send(b"POST /v2/models/net/infer HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n", *[part] * times)
    await wire.send(b"0\r\n\r\n" if chunked else b"")


HONEST = post("/v1/models/net:predict", V1)


async def expect_honest_answer(wire: Wire) -> None:
    found = await wire.ask(HONEST)
    assert found.status == 200 and found.json == V1_ANSWER


async def until(is_so: Callable[[], bool]) -> None:
    """The test's own time limit is what ends it if it never is."""
    while not is_so():
        await asyncio.sleep(0.002)


class Held:
    """A model that waits in its thread until it is let go, and notes what it was given."""

    def __init__(self, lane: Lane) -> None:
        self.lane, self.run = lane, lane.run
        self.go = threading.Event()
        self.given: list[Sequence[np.ndarray]] = []
        lane.run = self
        lane._is_quick = lambda rows: False  # type: ignore[method-assign]

    def __call__(self, work: Sequence[np.ndarray]) -> Any:
        self.given.append(work)
        assert self.go.wait(30)
        return self.run(work)

    @property
    def sizes(self) -> list[int]:
        return [len(work[0]) for work in self.given]


def _saved(path: Path, nodes: list[Any], given: Any, answer: Any, constants: list[Any]) -> Path:
    graph = helper.make_graph(nodes, "net", [given], [answer], constants)
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def table_of_four(path: Path) -> Path:
    """A model that really fails for some rows: it looks numbers up in a table, of which there are four."""
    return _saved(
        path,
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        helper.make_tensor_value_info("x", TensorProto.INT64, ["batch", 2]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2]),
        [helper.make_tensor("table", TensorProto.FLOAT, [4], [0, 10, 20, 30])],
    )


def any_width(path: Path) -> Path:
    """A model whose rows may have any length: it adds each one up."""
    return _saved(
        path,
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "width"]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"]),
        [onnx.numpy_helper.from_array(np.array([1], np.int64), "axes")],
    )
