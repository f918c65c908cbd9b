"""Whose turn it is to accept: workers that listen on one socket share its connections out among themselves.

Left alone, whoever is awake takes all that wait, and since callers keep their connections, one
worker would have all the work. So each says in memory that they share how many it has; who
has more than another lets a moment pass, in which the other may accept, before it takes one.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass

MOMENT = 0.002  # seconds; then the other is busy, or dead
NO_ROOM = 1.0  # seconds after which a process that has no descriptor left tries again
BACKLOG = 2048
NOT_YET = 1 << 40  # the number of a worker that does not accept yet: nobody waits for it


@dataclass(frozen=True)
class Counts:
    """How many connections each worker has, and which of the numbers is one's own."""

    all: MutableSequence[int]
    own: int


class Turns:
    """Accepts for one worker; ``connections`` tells how many it has, of those that ``protocol`` was made for."""

    def __init__(
        self,
        listening: socket.socket,
        counts: Counts,
        connections: Callable[[], int],
        protocol: Callable[[], asyncio.BaseProtocol],
    ) -> None:
        self.listening = listening
        self.counts = counts
        self.connections = connections
        self.protocol = protocol
        self._arriving: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self.listening.setblocking(False)
        self.listening.listen(BACKLOG)
        self._tell()
        self._watch()

    def close(self) -> None:
        """Accept no more."""
        if self._pause is not None:
            self._pause.cancel()
        asyncio.get_running_loop().remove_reader(self.listening)

    def _tell(self) -> int:
        self.counts.all[self.counts.own] = number = self.connections() + len(self._arriving)
        return number

    def _watch(self) -> None:
        asyncio.get_running_loop().add_reader(self.listening, self._someone_waits)

    def _someone_waits(self) -> None:
        least = min(self.counts.all)
        if self._tell() > least + least // 8:  # so that sharing out a thousand takes few moments
            self._look_again_after(MOMENT)
        else:
            self._accept()

    def _look_again_after(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.listening)
        self._pause = loop.call_later(seconds, self._after_the_pause)

    def _after_the_pause(self) -> None:
        self._watch()
        self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self.listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another one has taken it, or it left
        except OSError:
            self._look_again_after(NO_ROOM)
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        arriving = asyncio.ensure_future(self._begin(connection))
        self._arriving.add(arriving)
        arriving.add_done_callback(self._arrived)
        self._tell()

    def _arrived(self, arriving: asyncio.Task[object]) -> None:
        self._arriving.discard(arriving)
        self._tell()

    async def _begin(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it left already
            await asyncio.get_running_loop().connect_accepted_socket(self.protocol, connection)
