"""The way of a request: route; decode; the model; encode.

It knows bytes and paths. What is in them is the protocols' affair, who answers the registry's,
and how they came and go that of a connection, or of somebody else's server.
"""

import asyncio
import contextlib
import itertools
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from helpers.engine.lane import Lane
from helpers.engine.logs import log, log_request
from helpers.engine.metrics import Metrics
from helpers.engine.registry import Registry
from helpers.engine.tasks import Tasks
from helpers.runtime import InputError
from helpers.serving.compression import decompressed
from helpers.serving.exchange import Answer, Request, told
from helpers.wire.errors import ClientGone, EngineError, invalid

Route = Callable[[Request], Awaitable[Answer]]
LEFT = 499  # what is counted when the caller leaves; nobody is there to get it


def lacks_memory(error: BaseException) -> bool:
    """True if an error means that memory ran out; ONNX Runtime and the system's threads have words of their own."""
    words = ("bad_alloc", "Failed to allocate memory", "can't start new thread", "failed to map segment")
    return isinstance(error, MemoryError) or any(each in str(error) for each in words)


class App:
    """Routes by the first part of the path; each protocol adds its own."""

    def __init__(
        self,
        registry: Registry,
        metrics: Metrics,
        tasks: Tasks,
        largest_body: int = 64 << 20,
        timeout: float = 30.0,
        log_requests: bool = False,
    ) -> None:
        self.registry = registry
        self.metrics = metrics
        self.tasks = tasks
        self.largest_body = largest_body
        self.timeout = timeout
        self.log_requests = log_requests
        self.ready = False
        self.lanes: Callable[[], dict[tuple[str, str], Lane]] = registry.lanes
        self.routes: dict[str, Route] = {"livez": self._live, "readyz": self._ready, "metrics": self._metrics}
        self._ids = itertools.count(1)
        self._run = uuid.uuid4().hex[:8].encode()

    async def answer(self, request: Request, send: Callable[[Answer], Awaitable[None]]) -> None:
        """One request, from what was read of it to the last byte of its answer, which ``send`` sends."""
        request.number = request.headers.get(b"x-request-id", b"")[:128] or b"%s-%d" % (self._run, next(self._ids))
        status = LEFT
        try:
            answer = await self._answer(request)
            status, answer.number = answer.status, request.number
            if answer.stream is None:
                await send(answer)
            else:
                async with contextlib.aclosing(_watched(answer.stream, request)) as answer.stream:
                    await send(answer)
        except ClientGone:
            status = LEFT
        finally:
            seconds = time.monotonic() - request.arrived
            self.metrics.count(request.route if request.route in self.routes else "", status, seconds)
            if self.log_requests:
                log_request(request.number, request.method, request.url, status, seconds)

    async def _answer(self, request: Request) -> Answer:
        """The route's answer, or what its error tells."""
        try:
            if request.refusal is not None:
                raise request.refusal
            route = self.routes.get(request.route)
            if route is None:
                raise self.nothing_at("/".join([request.route, *request.path]))
            if b"content-encoding" in request.headers:
                request.body = await decompressed(request, self.largest_body)
            return await route(request)
        except EngineError as error:
            return told(error, request.number)
        except InputError as error:  # a service's own model refused what it was given
            return told(invalid(error.name, error.given, error.expected), request.number)
        except ClientGone:
            raise
        except Exception as error:  # a defect of the model or ours: its text stays inside
            about = {"request": request.number.decode("latin-1")}
            if lacks_memory(error):
                log.error("there was not enough memory for a request", extra=about)
                error = EngineError("overloaded", "there is not enough memory for this now", retry_after=1.0)
                return told(error, request.number)
            log.error("a request failed", exc_info=error, extra=about)
            error = EngineError("internal", "the model failed to answer; the server's log says why")
            return told(error, request.number)

    def nothing_at(self, path: str) -> EngineError:
        known = ", ".join(f"/{name}" for name in self.routes if name)
        return EngineError("not_found", f"nothing answers at /{path[:80]}; paths begin with {known}; /docs tells more")

    async def _live(self, request: Request) -> Answer:
        request.expect_method("GET", "HEAD")
        return Answer([b'{"live":true}'])

    async def _ready(self, request: Request) -> Answer:
        request.expect_method("GET", "HEAD")
        return Answer([b'{"ready":true}']) if self.ready else Answer([b'{"ready":false}'], 503)

    async def _metrics(self, request: Request) -> Answer:
        request.expect_method("GET", "HEAD")
        self.metrics.note(self.lanes())
        return Answer([self.metrics.text()], content_type=b"text/plain; version=0.0.4; charset=utf-8")


async def _watched(parts: AsyncIterator[bytes], request: Request) -> AsyncGenerator[bytes, None]:
    """A stream that ends when its caller leaves, so that nobody works for nobody."""
    gone = asyncio.ensure_future(request.left())
    try:
        while True:
            coming = asyncio.ensure_future(anext(parts, None))
            try:
                await asyncio.wait((coming, gone), return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    raise ClientGone
                part = coming.result()
            finally:
                if not coming.done():
                    coming.cancel()
                    with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                        await coming
            if part is None:
                return
            yield part
    finally:
        gone.cancel()
        await parts.aclose()  # type: ignore[attr-defined]
