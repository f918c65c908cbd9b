"""A server's life: prepare, listen, warm up, answer, drain, stop. In this process, or in a thread of a notebook."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from helpers.engine.logs import log
from helpers.engine.targets import Target
from helpers.errors import UserError
from helpers.serving.application import Application, Settings, Shared
from helpers.serving.http_server import HttpServer
from helpers.store import Store

if TYPE_CHECKING:
    from helpers.serving.client import Client


class Server(Application):
    """One process that answers for some models and services, on a socket that listens already."""

    def __init__(
        self,
        targets: Sequence[Target],
        listening: socket.socket,
        store: Store | None = None,
        settings: Settings = Settings(),  # it is frozen
        when_ready: Callable[[], None] = lambda: None,
        shared: Shared | None = None,
    ) -> None:
        super().__init__(targets, store, settings, shared)
        self._socket = listening
        self._notes_to_others = shared is not None
        self.host, self.port = listening.getsockname()[:2]
        self._http = HttpServer(self.app, settings.grace, when_ready, shared.connections if shared else None)

    @property
    def address(self) -> str:
        return address_of(self._socket) if self._socket.fileno() >= 0 else f"http://{self.host}:{self.port}"

    @cached_property
    def client(self) -> "Client":
        """Someone to ask it, until it ends."""
        from helpers.serving.client import Client

        return Client(self.address)

    async def run(self) -> None:
        """Load and warm up, then answer until told to stop; what was accepted is answered first."""
        notes = None
        try:
            await self.open()
            if self._notes_to_others:
                notes = asyncio.create_task(self._note_each_second())
            await self._http.serve(self._socket)
        finally:
            self.app.ready = False
            if notes is not None:
                notes.cancel()
            await self.close()
            self._socket.close()

    def stop(self) -> None:
        """Take no more, and come to an end. From any thread."""
        self.app.ready = False
        self._http.stop()

    async def _note_each_second(self) -> None:
        """So that whichever worker is asked for the metrics knows the queues of the others."""
        while True:
            self.metrics.note(self.lanes())
            await asyncio.sleep(1)


@contextlib.contextmanager
def serve(
    *targets: Target, store: Store | None = None, port: int = 0, settings: Settings = Settings()
) -> Iterator[Server]:
    """Serve inside this program, on a free port, until the block ends: services' classes, and tags of the store.

    >>> with serve("digits:prod") as server:  # doctest: +SKIP
    ...     print(server.address)
    """
    failed: list[BaseException] = []
    up = threading.Event()
    server = Server(targets, listen("127.0.0.1", port), store, settings, up.set)

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(server.run())
        except BaseException as error:  # it is raised where the server was asked for
            failed.append(error)
        finally:
            up.set()

    thread = threading.Thread(target=run, name="servelab", daemon=True)
    thread.start()
    up.wait()
    if failed:
        raise failed[0]
    try:
        yield server
    finally:
        if "client" in vars(server):
            server.client.close()
        server.stop()
        thread.join()
    if failed:
        raise failed[0]


def end_in_time(server: Server, tidy: Callable[[], None]) -> None:
    """For a process that is a server and nothing else: stop it, and let nothing in it outlast the grace time."""

    def give_up() -> None:
        log.error("not everything came to its end in time")
        tidy()
        os._exit(1)

    server.stop()
    timer = threading.Timer(server.settings.grace, give_up)
    timer.daemon = True
    timer.start()


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, where it exists. On Windows the one of which several processes can share a socket."""
    try:
        import uvloop
    except ImportError:
        return asyncio.SelectorEventLoop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UserError(f"Port {port} of {host} cannot be used: {error.strerror}.", "name another: --port 0.") from None
    return listening


def address_of(listening: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
