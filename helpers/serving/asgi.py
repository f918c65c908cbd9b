"""The application as ASGI wants it, for whoever brings a server of its own: uvicorn, a cloud's functions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from helpers.serving.app import App
from helpers.serving.exchange import Answer, Headers, Request, too_long
from helpers.wire.errors import ClientGone, EngineError

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
CLOSE = (b"connection", b"close")
LINGER_SECONDS = 5.0  # for which the rest of a body that was refused is let pass


async def answer(app: App, scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Let an application answer what ASGI's messages tell."""
    exchange = _Exchange(receive, send)
    headers: Headers = dict(scope["headers"])
    body, refusal = b"", None
    try:
        body = await exchange.read(headers, app.largest_body)
    except EngineError as error:
        refusal = error
    except ClientGone:
        return
    request = Request(scope["method"], scope["path"], headers, body, exchange, refusal)
    await app.answer(request, exchange.send_refusal if refusal else exchange.send)


class _Exchange:
    """The messages of one request, and who sent it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send

    def has_left(self) -> bool:
        """Uvicorn notes that on the object whose method ``receive`` is. To look there costs nothing, where
        waiting for the message would cost a task for each request; another server just does not tell.
        """
        return bool(getattr(getattr(self._receive, "__self__", None), "disconnected", False))

    async def left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def read(self, headers: Headers, largest: int) -> bytes:
        """The whole body. One that says it is too large is refused before it is read."""
        length = headers.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length) > largest):
            raise too_long(length[:20].decode("latin-1"), largest)
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > largest:
                raise too_long(f"{size} or more", largest)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def send(self, answer: Answer) -> None:
        if answer.stream is not None:
            await self._stream(answer, answer.stream)
            return
        body = b"".join(answer.parts)
        await self._begin(answer, (b"content-length", b"%d" % len(body)))
        await self._send({"type": "http.response.body", "body": body})

    async def send_refusal(self, answer: Answer) -> None:
        """A body is still coming. Were the connection closed now, its sender would find it broken, and no answer."""
        body = b"".join(answer.parts)
        await self._begin(answer, (b"content-length", b"%d" % len(body)), CLOSE)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await self._receive()).get("more_body"):
                    pass
        await self._send({"type": "http.response.body", "body": b""})

    async def _stream(self, answer: Answer, parts: AsyncIterator[bytes]) -> None:
        await self._begin(answer)
        async for part in parts:
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self, answer: Answer, *more: tuple[bytes, bytes]) -> None:
        headers = [(b"content-type", answer.content_type), *more, (b"x-request-id", answer.number), *answer.headers]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
