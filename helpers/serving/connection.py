"""One connection: requests in, answers out, one after the other and in their order.

    bytes → reader → messages that wait → the application, one at a time → bytes

While a request is answered the next ones are read, up to some: so it is seen when the caller leaves.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from helpers.engine.logs import log
from helpers.serving.app import App
from helpers.serving.exchange import Answer, Request
from helpers.serving.reader import Message, Reader
from helpers.wire.errors import ClientGone

SILENCE_SECONDS = 75.0  # after which a connection is closed over which nobody asks, or goes on asking
LINGER_SECONDS = 5.0  # for which what still comes is let pass, when it was refused: else its answer might be lost
MOST_AHEAD, MOST_BYTES_AHEAD = 64, 1 << 20  # of requests that wait for the one before them
SMALL = 1 << 16  # bytes of an answer that are cheaper to copy than to send in parts
STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}


class Connections(set["Connection"]):
    """All that are open at one server. Once ``ending``, each answer says that it is the last."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self.app = app
        self.scratch = memoryview(bytearray(1 << 16))  # one is read at a time
        self.ending = False
        self.none_left = asyncio.Event()
        self.none_left.set()

    def came(self, connection: "Connection") -> None:
        self.add(connection)
        self.none_left.clear()

    def left(self, connection: "Connection") -> None:
        self.discard(connection)
        if not self:
            self.none_left.set()


class Connection(asyncio.BufferedProtocol):
    """It is the ``Peer`` of its requests."""

    def __init__(self, all_: Connections) -> None:
        self._all = all_
        self._app = all_.app
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(all_.app.largest_body, all_.scratch)
        self._waiting: deque[Message] = deque()
        self._bytes_ahead = 0
        self._now: Message | None = None  # being answered
        self._task: asyncio.Task[None] | None = None
        self._sent = self._keeps = False  # the answer to it; and the connection after it, as it says
        self._paused = False
        self._lingers = False
        self._ended = False  # they send no more: mostly since they have left, which looks alike
        self._lost = False
        self._leaving = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self.heard = self._loop.time()
        self._all.came(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.buffer()

    def buffer_updated(self, count: int) -> None:
        self._reader.came(count)
        if not self._reader.in_head:  # which has to be whole in time, and not a byte now and then
            self.heard = self._loop.time()
        if self._reader.messages:
            for message in self._reader.messages:
                self._waiting.append(message)
                self._bytes_ahead += len(message.body)
            self._reader.messages.clear()
            self._next()
            if len(self._waiting) > MOST_AHEAD or self._bytes_ahead > MOST_BYTES_AHEAD:
                self._pause()
        elif self._reader.asks_to_go_on:
            self._go_on()

    def eof_received(self) -> bool:
        """Nobody works for who ended. What is done already is sent all the same: they may still read."""
        self._ended = True
        self._leaving.set()
        return self._now is not None  # else the loop closes the connection

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = self._lost = True
        self._leaving.set()
        self._writable.set()
        self._waiting.clear()
        self._all.left(self)

    # What its requests ask

    def has_left(self) -> bool:
        return self._ended

    async def left(self) -> None:
        await self._leaving.wait()

    # What the server tells

    def end(self) -> None:
        """Answer what was asked, and close."""
        if self._now is None:
            self._transport.close()

    def cut_off(self) -> None:
        """Close, whatever is still to be answered."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    def close_if_silent(self, now: float) -> None:
        if self._now is None and now - self.heard > SILENCE_SECONDS:
            self._transport.close()

    # From one request to the next

    def _next(self) -> None:
        """Begin with the next request, if it can be."""
        if self._now is not None or self._lingers or not self._waiting or not self._writable.is_set():
            return
        self._now = message = self._waiting.popleft()
        self._bytes_ahead -= len(message.body)
        self._sent = self._keeps = False
        self._task = self._loop.create_task(self._answer(message))

    async def _answer(self, message: Message) -> None:
        try:
            request = Request(message.method, message.path, message.headers, message.body, self, message.refusal)
            await self._app.answer(request, self._send)
        except Exception as error:
            log.error("an answer could not be sent", exc_info=error)
        finally:
            self._answered(message)

    def _answered(self, message: Message) -> None:
        self._now = self._task = None
        self.heard = self._loop.time()
        if self._transport.is_closing():
            return
        if not (self._sent and self._keeps) or (self._all.ending and not self._waiting):
            self._close(message)
            return
        if self._waiting:
            self._next()
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._reader.asks_to_go_on:
            self._go_on()

    def _close(self, message: Message) -> None:
        """Who is still sending when its connection closes would find it broken, and no answer: it may end first."""
        if message.refusal is None or not self._sent or self._ended:
            self._transport.close()
            return
        self._lingers = True
        self._waiting.clear()
        self._transport.write_eof()
        self._loop.call_later(LINGER_SECONDS, self._transport.abort)

    def _pause(self) -> None:
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _go_on(self) -> None:
        """Who asks whether to send its body is told so when its turn has come."""
        if self._now is None and not self._waiting:
            self._reader.asks_to_go_on = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # An answer's bytes

    async def _send(self, answer: Answer) -> None:
        message = self._now
        assert message is not None
        if self._lost:
            return
        if answer.stream is not None:
            await self._stream(message, answer, answer.stream)
            return
        parts = answer.parts
        size = sum(map(len, parts))
        head = self._head(message, answer, b"content-length: %d\r\n" % size)
        if message.method == "HEAD":
            self._transport.write(head)
        elif size < SMALL:
            self._transport.write(b"".join((head, *parts)))
        else:
            self._transport.writelines((head, *parts))
        self._sent = True

    async def _stream(self, message: Message, answer: Answer, parts: AsyncIterator[bytes]) -> None:
        """Part by part, as they are made, and no faster than they are read. Without chunks the end is that of
        the connection.
        """
        chunked = not message.is_old
        self._transport.write(self._head(message, answer, b"transfer-encoding: chunked\r\n" if chunked else b""))
        async for part in parts:
            self._write(b"%x\r\n%b\r\n" % (len(part), part) if chunked and part else part)
            await self._writable.wait()
        self._write(b"0\r\n\r\n" if chunked else b"")
        self._sent = True

    def _write(self, data: bytes) -> None:
        if self._ended:
            raise ClientGone
        self._transport.write(data)

    def _head(self, message: Message, answer: Answer, length: bytes) -> bytes:
        self._keeps = message.keeps and not (message.is_old and answer.stream is not None)
        if not self._waiting and (self._ended or self._all.ending):
            self._keeps = False
        more = (b"connection: keep-alive\r\n" if message.is_old else b"") if self._keeps else b"connection: close\r\n"
        for name, value in answer.headers:
            more += b"%b: %b\r\n" % (name, value)
        return b"%b\r\ncontent-type: %b\r\n%bx-request-id: %b\r\n%b\r\n" % (
            STATUS[answer.status],
            answer.content_type,
            length,
            answer.number,
            more,
        )
