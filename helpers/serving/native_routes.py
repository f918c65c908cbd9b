"""The paths of services: each API at its name. Answers, streams of them, and tasks that take their time."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from helpers.engine.endpoint import Caller, Endpoint
from helpers.engine.logs import log
from helpers.engine.tasks import Progress
from helpers.errors import UserError
from helpers.serving.app import App
from helpers.serving.exchange import Answer, Request
from helpers.serving.task_routes import told
from helpers.wire import native
from helpers.wire.errors import ClientGone, EngineError

EVENTS, NDJSON = b"text/event-stream", b"application/x-ndjson"
CHUNKS = {bytes: b"application/octet-stream", str: b"text/plain; charset=utf-8"}  # by the first item; else NDJSON
_END: Any = object()


def add_to(app: App, endpoint: Endpoint) -> None:
    """Let an application answer one API."""
    name = endpoint.api.name
    if name in app.routes or name == "tasks":  # where tasks are asked after
        raise UserError(f"Two things would answer at /{name}.", "rename one, or serve them on two ports.")
    app.routes[name] = _Route(app, endpoint).answer


class _Route:
    def __init__(self, app: App, endpoint: Endpoint) -> None:
        self.app = app
        self.endpoint = endpoint
        api = endpoint.api
        self.reader = native.Reader(api.name, api.parameters, api.defaults)

    async def answer(self, request: Request) -> Answer:
        api = self.endpoint.api
        if request.path:
            raise EngineError("not_found", f"nothing answers below /{api.name}; the API itself does")
        request.expect_method("POST")
        content_type = request.header(b"content-type")
        read = self.reader.read
        if self.reader.has_pictures:  # to unpack one takes long enough for others to notice
            named = await asyncio.to_thread(read, request.body, content_type)
        else:
            named = read(request.body, content_type)
        values = self.endpoint.checked(named)
        caller = Caller(request.deadline(self.endpoint.spec.timeout), request.has_left)
        if api.keep is not None:
            return self._submitted(values, request.header(b"accept"), content_type)
        if api.streams:
            return await _streamed(self.endpoint.stream(values, caller), request)
        if api.is_async:
            answer = await _unless_left(self.endpoint.call(values, caller), request)
        else:
            answer = await self.endpoint.call(values, caller)
        content, kind = native.write(answer, api.result, request.header(b"accept"), content_type)
        return Answer([content], content_type=kind.encode())

    def _submitted(self, values: Sequence[Any], accept: str, content_type: str) -> Answer:
        endpoint = self.endpoint

        async def work(progress: Progress) -> tuple[bytes, str]:
            answer = await endpoint.work(values, progress)
            return native.write(answer, endpoint.api.result, accept, content_type)

        state = self.app.tasks.submit(endpoint.name, endpoint.spec.threads, endpoint.api.keep or 0.0, work)
        return told(state, 202)


async def _streamed(items: AsyncGenerator[Any, None], request: Request) -> Answer:
    """Server-sent events if they are accepted, else plain chunks: text as it is, anything else a line of JSON.

    The first item decides: until it is there, an error is told as any other is.
    """
    items = _in_one_task(items)
    try:
        first = [await _unless_left(anext(items), request)]
    except StopAsyncIteration:
        first = []
    items = _from_first(first, items)
    if EVENTS.decode() in request.header(b"accept"):
        events = _events(items, request.number.decode("latin-1"))
        return Answer(stream=events, content_type=EVENTS, headers=[(b"cache-control", b"no-cache")])
    kind = next((told for type_, told in CHUNKS.items() if first and isinstance(first[0], type_)), NDJSON)
    return Answer(stream=_chunks(items), content_type=kind)


async def _in_one_task(items: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """The items, made by one task, whoever takes them: what a generator opens (a time limit, a group of
    tasks) belongs to the task that it was opened in.
    """
    made: asyncio.Queue[Any] = asyncio.Queue()
    wanted = asyncio.Semaphore(0)

    async def make() -> None:
        async with contextlib.aclosing(items):
            async for item in items:
                made.put_nowait(item)
                await wanted.acquire()

    making = asyncio.create_task(make())
    making.add_done_callback(lambda _: made.put_nowait(_END))
    try:
        while (item := await made.get()) is not _END:
            yield item
            wanted.release()
        await making  # it raises what went wrong
    finally:
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)


async def _from_first(first: list[Any], items: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    async with contextlib.aclosing(items):
        for item in first:
            yield item
        async for item in items:
            yield item


async def _chunks(items: AsyncGenerator[Any, None]) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(items):
        async for item in items:
            if isinstance(item, str):
                yield item.encode()
            else:
                yield item if isinstance(item, bytes) else native.to_json(item) + b"\n"


async def _events(items: AsyncGenerator[Any, None], number: str) -> AsyncIterator[bytes]:
    """Each item an event; an error after the first is an event too, since the status has been sent."""
    async with contextlib.aclosing(items):
        try:
            async for item in items:
                yield _event(item) if isinstance(item, str) else _event(native.to_json(item).decode(), "json")
            yield _event("", "end")
        except EngineError as error:
            yield _event(error.body(number).decode(), "error")
        except Exception as error:
            log.error("a stream broke off", exc_info=error)
            yield _event(EngineError("internal", "the stream broke off").body(number).decode(), "error")


def _event(text: str, kind: str = "") -> bytes:
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # each of them would end a line of the event
    lines = [f"event: {kind}", *(f"data: {line}" for line in text.split("\n")), "", ""]
    return "\n".join(lines if kind else lines[1:]).encode()


async def _unless_left(work: Any, request: Request) -> Any:
    """The work's result; it is cancelled when the caller leaves."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(request.left())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            raise ClientGone
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()
