"""A server's life: prepare, listen, warm up, answer, drain, stop. In this process, or in a thread of a notebook."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from helpers.engine.app import App
from helpers.engine.protocols import open_inference_routes, tensorflow_serving_routes
from helpers.engine.registry import Registry
from helpers.errors import UserError
from helpers.store import Store

GRACE_SECONDS = 10


class _Uvicorn(uvicorn.Server):
    """It says when it listens. Signals are the affair of whoever owns the process: it calls ``stop``."""

    def __init__(self, config: uvicorn.Config, when_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.when_ready = when_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # In the next turn of the loop: who stops the server as soon as it is ready finds it running.
        asyncio.get_running_loop().call_soon(self.when_ready)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """One process that answers for some models. ``port`` 0 takes one that is free; ``address`` tells which."""

    def __init__(
        self,
        tags: Sequence[str],
        host: str = "127.0.0.1",
        port: int = 0,
        store: Store | None = None,
        threads: int = 1,
        when_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.tags = list(tags)
        self.registry = Registry(store, threads)
        self.app = App(self.registry)
        open_inference_routes.add_to(self.app)
        tensorflow_serving_routes.add_to(self.app)
        self._socket = _listen(host, port)
        self.host, self.port = host, int(self._socket.getsockname()[1])
        settings = uvicorn.Config(
            self.app,
            lifespan="off",
            proxy_headers=False,
            access_log=False,
            log_level="error",
            log_config=None,  # how a program logs is its own affair; uvicorn would take all handlers down first
            timeout_graceful_shutdown=GRACE_SECONDS,
            server_header=False,
            date_header=False,
        )
        self._uvicorn = _Uvicorn(settings, when_ready)

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def run(self) -> None:
        """Load and warm up, then answer until told to stop; what was accepted is answered first."""
        try:
            for tag in self.tags:
                await self.registry.load(tag)
            self.app.ready = True
            await self._uvicorn.serve([self._socket])
        finally:
            self.app.ready = False
            self.registry.close()
            self._socket.close()

    def stop(self) -> None:
        """Take no more, and come to an end. From any thread."""
        self._uvicorn.should_exit = True


@contextlib.contextmanager
def serve(*tags: str, store: Store | None = None, threads: int = 1) -> Iterator[Server]:
    """Serve models of the store inside this program, on a free port, until the block ends.

    >>> with serve("digits:prod") as server:  # doctest: +SKIP
    ...     print(server.address)
    """
    failed: list[BaseException] = []
    up = threading.Event()
    server = Server(tags, store=store, threads=threads, when_ready=up.set)

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
        server.stop()
        thread.join()
    if failed:
        raise failed[0]


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, where it exists (not on Windows)."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UserError(f"Port {port} of {host} cannot be used: {error.strerror}.", "name another: --port 0.") from None
    listening.set_inheritable(True)
    return listening
