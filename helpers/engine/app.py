"""The way of a request: route, limits, deadline; decode; the model; encode. An ASGI application.

It knows bytes and paths. What is in them is the protocols' affair, and who answers the
registry's.
"""

import asyncio
import itertools
import math
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from helpers.engine.errors import EngineError, malformed
from helpers.engine.metrics import Metrics
from helpers.engine.registry import Registry

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = dict[bytes, bytes]
Parts = Sequence[bytes | memoryview]
JSON = b"application/json"


class Request:
    """What a route gets."""

    __slots__ = ("body", "deadline", "headers", "method", "path")

    def __init__(self, method: str, path: list[str], headers: Headers, body: bytes, deadline: float) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.deadline = deadline


class Answer:
    """What a route gives."""

    __slots__ = ("content_type", "headers", "parts", "status")

    def __init__(
        self, parts: Parts, status: int = 200, content_type: bytes = JSON, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        self.parts = parts or (b"",)
        self.status = status
        self.content_type = content_type
        self.headers = headers


Route = Callable[[Request], Awaitable[Answer]]


class App:
    """Routes by the first part of the path; each protocol adds its own."""

    def __init__(self, registry: Registry, largest_body: int = 64 << 20, timeout: float = 30.0) -> None:
        self.registry = registry
        self.largest_body = largest_body
        self.timeout = timeout
        self.metrics = Metrics()
        self.ready = False
        self.routes: dict[str, Route] = {"livez": self._live, "readyz": self._ready, "metrics": self._metrics}
        self._ids = itertools.count(1)
        self._run = uuid.uuid4().hex[:8]

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        number = headers.get(b"x-request-id") or f"{self._run}-{next(self._ids)}".encode()
        path = scope["path"].split("/")[1:]
        try:
            answer = await self._answer(scope, path, headers, receive)
        except EngineError as error:
            answer = _told(error)
        except asyncio.CancelledError:
            self.metrics.count(path[0], 499, time.perf_counter() - began)
            raise
        except ClientGone:
            self.metrics.count(path[0], 499, time.perf_counter() - began)
            return
        except Exception as error:  # a defect of the model or ours: its text stays inside
            self.metrics.failed(error)
            answer = _told(EngineError("internal", "the model failed to answer; the server's log says why"))
        self.metrics.count(path[0] if path[0] in self.routes else "", answer.status, time.perf_counter() - began)
        await _send(send, answer, number[:128])

    async def _answer(self, scope: dict[str, Any], path: list[str], headers: Headers, receive: Receive) -> Answer:
        route = self.routes.get(path[0])
        if route is None:
            known = ", ".join(f"/{name}" for name in self.routes)
            raise EngineError("not_found", f"nothing answers at /{'/'.join(path)[:80]}; paths begin with {known}")
        deadline = self._deadline(headers)
        body = await read_body(headers, receive, self.largest_body) if scope["method"] != "GET" else b""
        return await route(Request(scope["method"], path[1:], headers, body, deadline))

    def _deadline(self, headers: Headers) -> float:
        """The caller's patience, or the server's, whichever is shorter."""
        told = headers.get(b"x-timeout-seconds")
        if told is None:
            return time.monotonic() + self.timeout
        try:
            seconds = float(told)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise malformed(f"x-timeout-seconds is {told[:40].decode('latin-1')!r}, and should be a number above 0")
        return time.monotonic() + min(seconds, self.timeout)

    async def _live(self, request: Request) -> Answer:
        return Answer([b'{"live":true}'])

    async def _ready(self, request: Request) -> Answer:
        return Answer([b'{"ready":true}']) if self.ready else Answer([b'{"ready":false}'], 503)

    async def _metrics(self, request: Request) -> Answer:
        lanes = {
            (name, version): servable.lane
            for name, served in self.registry.models.items()
            for version, servable in served.versions.items()
        }
        return Answer([self.metrics.text(lanes)], content_type=b"text/plain; version=0.0.4")


class ClientGone(Exception):
    """The caller left before its request had arrived."""


async def read_body(headers: Headers, receive: Receive, largest: int) -> bytes:
    """The whole body. One that says it is too large is refused before it is read."""
    length = headers.get(b"content-length")
    if length is not None and (not length.isdigit() or int(length) > largest):
        raise EngineError(
            "too_large", f"the body has {length[:20].decode('latin-1')} bytes; at most {largest} are read"
        )
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ClientGone
    if not message.get("more_body"):
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > largest:
            raise EngineError("too_large", f"the body has more than {largest} bytes, which is the most that is read")
        parts.append(part)
    return b"".join(parts)


def _told(error: EngineError) -> Answer:
    headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    return Answer([error.body()], error.status, headers=headers)


async def _send(send: Send, answer: Answer, number: bytes) -> None:
    length = sum(map(len, answer.parts))
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", str(length).encode()),
        (b"x-request-id", number),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    last = len(answer.parts) - 1
    for place, part in enumerate(answer.parts):
        await send({"type": "http.response.body", "body": bytes(part), "more_body": place < last})
