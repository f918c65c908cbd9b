"""Who calls during ``bench soak``: honest callers who check each answer, and hostile ones who mean harm.

They speak HTTP over bare sockets, since no HTTP library would send what the hostile ones do.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.runtime import Session
from helpers.wire.native import npy, to_npy
from helpers.wire.open_inference import HEADER_LENGTH

JSON, NPY = {"Content-Type": "application/json"}, {"Content-Type": "application/x-npy"}
MOST_ROWS, WIDTHS = 5, (1, 3, 8, 21, 64)
Check = Callable[[dict[str, str], bytes], bool]
Ask = tuple[bytes, Check]


@dataclass
class Tally:
    """What came of the calls since it was last emptied."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    hostile: dict[str, int] = field(default_factory=dict)  # by what came of them: a status, or none

    def note(self, outcome: str) -> None:
        self.hostile[outcome] = self.hostile.get(outcome, 0) + 1


def message(path: str, body: bytes, headers: dict[str, str], length: int | None = None) -> bytes:
    """A request's bytes; its length may be a lie."""
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    size = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Length: {size}\r\n{told}\r\n".encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


def honest_questions(name: str, session: Session, random: np.random.Generator) -> Iterator[Ask]:
    """One form after the other, each with new rows, and with what the answer must be."""
    width = session.inputs[0].shape[1]
    assert isinstance(width, int)
    while True:
        rows = random.random((int(random.integers(1, MOST_ROWS + 1)), width), np.float32).round(4)
        wanted = session(rows)
        body = json.dumps({"instances": rows.tolist()}).encode()
        yield (
            message(f"/v1/models/{name}:predict", body, JSON),
            _expecting(wanted, lambda headers, body: json.loads(body)["predictions"]),
        )
        told: dict[str, Any] = {"name": session.inputs[0].name, "shape": rows.shape, "datatype": "FP32"}
        body = json.dumps({"inputs": [{**told, "data": rows.ravel().tolist()}]}).encode()
        yield (
            message(f"/v2/models/{name}/infer", body, JSON),
            _expecting(wanted, lambda headers, body: json.loads(body)["outputs"][0]["data"]),
        )
        told["parameters"] = {"binary_data_size": rows.nbytes}
        head = json.dumps({"inputs": [told], "parameters": {"binary_data_output": True}}).encode()
        length = {"Inference-Header-Content-Length": str(len(head))}
        yield (
            message(f"/v2/models/{name}/infer", head + rows.tobytes(), length),
            _expecting(wanted, lambda headers, body: np.frombuffer(body[int(headers[HEADER_LENGTH]) :], np.float32)),
        )
        # The service takes rows of any width, so that requests of several kinds wait together.
        rows = random.random((len(rows), int(random.choice(WIDTHS))), np.float32).round(4)
        body = json.dumps({"rows": rows.tolist()}).encode()
        yield message("/mean", body, JSON), _expecting(rows.mean(1), lambda headers, body: json.loads(body))
        yield (
            message("/mean", to_npy(rows), NPY),
            _expecting(rows.mean(1), lambda headers, body: npy(body, "the answer")),
        )


def _expecting(wanted: NDArray[np.float32], read: Callable[[dict[str, str], bytes], Any]) -> Check:
    def is_right(headers: dict[str, str], body: bytes) -> bool:
        found = np.array(read(headers, body), np.float32)
        return found.size == wanted.size and np.allclose(found.ravel(), wanted.ravel(), atol=1e-4)

    return is_right


async def ask_honestly(port: int, questions: Iterator[Ask], tally: Tally) -> None:
    """Ask without end over one connection; whatever is not the right answer is an error."""
    writer = None
    loop = asyncio.get_running_loop()
    try:
        for asked, is_right in questions:
            began, path, told = loop.time(), asked.split(None, 2)[1].decode(), "nothing"
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(asked)
                status, headers, body = await read_answer(reader)
                tally.seconds.append(loop.time() - began)
                told = f"{status} {body[:100]!r}"
                if status != 200 or not is_right(headers, body):
                    tally.errors.append(f"{path}: {told}")
            except Exception as error:  # cut off, or an answer that cannot be read in whatever way
                tally.errors.append(f"{path}: {told}, {error!r}")
                if writer is not None:
                    writer.close()
                    writer = None
                await asyncio.sleep(0)
    finally:
        if writer is not None:
            writer.close()


def hostile_messages(name: str) -> dict[str, bytes]:
    """What must be refused, with a status of the client's own fault."""
    v1, v2 = f"/v1/models/{name}:predict", f"/v2/models/{name}/infer"
    lie = {"name": "x", "shape": [1, 64], "datatype": "FP32", "parameters": {"binary_data_size": 1 << 40}}
    head = json.dumps({"inputs": [lie]}).encode()
    huge = {"name": "x", "shape": [1 << 31, 1 << 31], "datatype": "FP32", "data": [1]}
    return {
        "malformed": message(v1, b'{"instances": [[1, 2', JSON),
        "nested brackets": message(v1, b'{"instances": ' + b"[" * 200_000, JSON),
        "nested brackets in a service": message("/mean", b"[" * 200_000, JSON),
        "another shape": message(v1, b'{"instances": [[1, 2, 3]]}', JSON),
        "no rows": message("/mean", b'{"rows": []}', JSON),
        "a size that lies": message(v2, head + b"1234", {"Inference-Header-Content-Length": str(len(head))}),
        "a header length that lies": message(v2, head, {"Inference-Header-Content-Length": "99999999"}),
        "a huge shape": message(v2, json.dumps({"inputs": [huge]}).encode(), JSON),
        "an oversize body": message(v1, b"", JSON, length=1 << 40),
        "no such model": message("/v1/models/../../etc/passwd:predict", b"{}", JSON),
        "npy that is none": message("/mean", b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 100, NPY),
    }


async def ask_with_malice(port: int, name: str, tally: Tally, pause: float) -> None:
    """All the hostile messages in turn, each over a connection of its own; between them, callers who do not stay."""
    whole = message(f"/v1/models/{name}:predict", json.dumps({"instances": [[0.5] * 64] * MOST_ROWS}).encode(), JSON)
    while True:
        for asked in hostile_messages(name).values():
            told = "no answer"
            with contextlib.suppress(OSError, EOFError):
                async with _connected(port) as (reader, writer):
                    writer.write(asked)
                    told = str((await read_answer(reader))[0])
            tally.note(told)
            await asyncio.sleep(pause)
        with contextlib.suppress(OSError):
            async with _connected(port) as (_, writer):
                writer.write(whole)
                await writer.drain()
                writer.transport.abort()
            tally.note("left in the middle")
            async with _connected(port) as (_, writer):
                for place in range(60):  # the last bytes never come
                    writer.write(whole[place : place + 1])
                    await asyncio.sleep(pause)
            tally.note("came byte by byte")


@contextlib.asynccontextmanager
async def _connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
