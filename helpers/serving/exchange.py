"""One request and its answer, between the server's messages and the routes."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from helpers.wire.errors import ClientGone, EngineError, malformed

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = dict[bytes, bytes]
Parts = Sequence[bytes | memoryview]
JSON = b"application/json"
CLOSE = (b"connection", b"close")
LINGER_SECONDS = 5.0  # for which the rest of a body that was refused is let pass


class Request:
    """What a route gets."""

    __slots__ = ("_receive", "arrived", "body", "headers", "method", "path", "patience")

    def __init__(self, method: str, path: list[str], headers: Headers, body: bytes, receive: Receive) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.arrived = time.monotonic()
        told = headers.get(b"x-timeout-seconds")
        self.patience = _seconds(told) if told is not None else math.inf
        self._receive = receive

    def header(self, name: bytes) -> str:
        """A header's text, or none."""
        return self.headers.get(name, b"").decode("latin-1")

    def deadline(self, timeout: float) -> float:
        """The end of the caller's patience, or of the server's, whichever comes first."""
        return self.arrived + (timeout if timeout < self.patience else self.patience)

    def has_left(self) -> bool:
        """True if the caller is known to have closed its connection.

        Uvicorn notes that on the object whose method ``receive`` is. To look there costs nothing, where
        waiting for the message would cost a task for each request; another server just does not tell.
        """
        return bool(getattr(getattr(self._receive, "__self__", None), "disconnected", False))

    async def left(self) -> None:
        """Wait until the caller leaves."""
        await leaving(self._receive)

    def expect_method(self, *allowed: str) -> None:
        if self.method not in allowed:
            told = f"this path is for {' and '.join(allowed)}, not for {self.method[:20]}"
            raise EngineError("method_not_allowed", told, headers=((b"allow", ", ".join(allowed).encode()),))


class Answer:
    """What a route gives: some parts, or a stream of them."""

    __slots__ = ("content_type", "headers", "parts", "status", "stream")

    def __init__(
        self,
        parts: Parts = (b"",),
        status: int = 200,
        content_type: bytes = JSON,
        headers: Sequence[tuple[bytes, bytes]] = (),
        stream: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.parts = parts
        self.status = status
        self.content_type = content_type
        self.headers = headers
        self.stream = stream


async def leaving(receive: Receive) -> None:
    """Wait until the caller leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass


def told(error: EngineError) -> Answer:
    """An error, as its caller gets it."""
    headers = list(error.headers)
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    return Answer([error.body()], error.status, headers=headers)


async def read_body(headers: Headers, receive: Receive, largest: int) -> bytes:
    """The whole body. One that says it is too large is refused before it is read."""
    length = headers.get(b"content-length")
    if length is not None and (not length.isdigit() or int(length) > largest):
        raise EngineError(
            "too_large",
            f"the body has {length[:20].decode('latin-1')} bytes; at most {largest} are read",
            headers=(CLOSE,),
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
            raise EngineError(
                "too_large", f"the body has more than {largest} bytes, the most to read", headers=(CLOSE,)
            )
        parts.append(part)
    return b"".join(parts)


async def send_answer(send: Send, answer: Answer, number: bytes, receive: Receive) -> None:
    """The answer's messages, with the request's number on it."""
    if answer.stream is not None:
        await _send_stream(send, answer, answer.stream, number)
        return
    body = answer.parts[0] if len(answer.parts) == 1 else b"".join(answer.parts)
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", number),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if CLOSE in answer.headers:
        # A body is still coming. Were the connection closed now, its sender would find it broken, and no answer.
        await send({"type": "http.response.body", "body": body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await receive()).get("more_body"):
                    pass
        body = b""
    await send({"type": "http.response.body", "body": body})


async def _send_stream(send: Send, answer: Answer, parts: AsyncIterator[bytes], number: bytes) -> None:
    headers = [(b"content-type", answer.content_type), (b"x-request-id", number), *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _seconds(told: bytes) -> float:
    try:
        seconds = float(told)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise malformed(f"x-timeout-seconds is {told[:40].decode('latin-1')!r}, and should be a number above 0")
    return seconds
