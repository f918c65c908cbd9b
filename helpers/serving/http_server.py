"""Listening, looking after the connections, and coming to an end without a word lost."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import partial

from helpers.serving.app import App
from helpers.serving.connection import Connection, Connections
from helpers.serving.turns import BACKLOG, Counts, Turns

LAST_WORD_SECONDS = 1.0  # for which a connection stays open, when the server stops, though nothing comes over it
LOOK_SECONDS = 1.0  # from one look at who is silent to the next


class HttpServer:
    """Answers on a socket that is there already. Signals are the affair of whoever owns the process."""

    def __init__(self, app: App, grace: int, when_ready: Callable[[], None], counts: Counts | None = None) -> None:
        self.grace = grace
        self.when_ready = when_ready
        self.counts = counts
        self.connections = Connections(app)
        self._told_to_end = False
        self._end: Callable[[], object] = lambda: None

    async def serve(self, listening: socket.socket) -> None:
        """Listen, until told to stop; then answer what was asked."""
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        self._end = partial(loop.call_soon_threadsafe, end.set)
        close = await self._listen(listening)
        # In the next turn of the loop: who stops the server as soon as it is ready finds it running.
        loop.call_soon(self.when_ready)
        while not self._told_to_end:
            await _up_to(LOOK_SECONDS, end)
            for connection in list(self.connections):
                connection.close_if_silent(loop.time())
        await self._drain(close)

    def stop(self) -> None:
        """From any thread, or a signal's handler."""
        self._told_to_end = True
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._end()

    async def _listen(self, listening: socket.socket) -> Callable[[], None]:
        """Accept whoever comes, in turn with other workers if there are some. What is given back ends it."""
        loop = asyncio.get_running_loop()
        if self.counts is None:
            server = await loop.create_server(lambda: Connection(self.connections), sock=listening, backlog=BACKLOG)
            return server.close
        turns = Turns(listening, self.counts, self.connections.__len__, lambda: Connection(self.connections))
        turns.open()
        return turns.close

    async def _drain(self, close: Callable[[], None]) -> None:
        """Who keeps a connection may be asking something just now: that is answered, and told to be the last."""
        self.connections.ending = True
        await _up_to(LAST_WORD_SECONDS, self.connections.none_left)
        close()
        for connection in list(self.connections):
            connection.end()
        await _up_to(max(1, self.grace - 2), self.connections.none_left)  # and time is left for the rest to be done
        for connection in list(self.connections):
            connection.cut_off()


async def _up_to(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
