"""Uvicorn, as this engine uses it: on a socket that is there already, and without a word lost at the end."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from helpers.serving.turns import Counts, Turns

MOST_OF_A_HEAD = 4096
LAST_WORD_SECONDS = 1.0  # for which a connection stays open, when the server stops, though nothing comes over it


# What Java's own client and `curl --http2` add to a question in HTTP/1.1.
_OFFER = re.compile(rb"(?<=\r\n)upgrade(?=: *h2c\r\n)", re.IGNORECASE)


class OneWrite:
    """A transport that sends the head of an answer together with what follows it: one call of the system, not two."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._send_head)  # of a stream, whose first piece may take its time
            return
        self._transport.write(data)

    def close(self) -> None:
        self._send_head()
        self._transport.close()

    def _send_head(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


class Protocol(HttpToolsProtocol):
    """An offer to go on in HTTP/2 is passed over, as HTTP allows; httptools would lose the body that comes with it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(OneWrite(transport, self.loop))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        begins = self.cycle is None or not self.cycle.more_body  # else it is a body, which nobody may change
        if begins and b"h2c\r\n" in data[:MOST_OF_A_HEAD]:
            end = data.find(b"\r\n\r\n") + 2
            data = _OFFER.sub(b"x-offer", data[:end]) + data[end:]
        super().data_received(data)


class HttpServer(uvicorn.Server):
    """It says when it listens. Signals are the affair of whoever owns the process: it sets ``should_exit``."""

    def __init__(self, app: Any, grace: int, when_ready: Callable[[], None], counts: Counts | None = None) -> None:
        super().__init__(_settings(app, grace))
        self.when_ready = when_ready
        self.counts = counts
        self._turns: Turns | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.counts is None or not sockets:
            await super().startup(sockets)
        else:
            self._turns = Turns(sockets[0], self.counts, lambda: len(self.server_state.connections), self._protocol)
            self._turns.open()
            self.servers, self.started = [], True
        # In the next turn of the loop: who stops the server as soon as it is ready finds it running.
        asyncio.get_running_loop().call_soon(self.when_ready)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Who keeps a connection may be asking something just now: that is answered, and told to be the last."""
        self.server_state.default_headers = [(b"connection", b"close")]
        ends = time.monotonic() + LAST_WORD_SECONDS
        while self.server_state.connections and time.monotonic() < ends:
            await asyncio.sleep(0.02)
        if self._turns is not None:
            self._turns.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def _settings(app: Any, grace: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        access_log=False,
        log_level="error",
        log_config=None,  # how a program logs is its own affair; uvicorn would take all handlers down first
        timeout_graceful_shutdown=max(1, grace - 2),  # who is cut off leaves time for the rest to be taken down
        server_header=False,
        date_header=False,
    )
