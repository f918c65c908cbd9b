"""One method of a running service: its values checked, its calls queued, awaited or streamed."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from helpers.engine.batch_size import BatchSize
from helpers.engine.lane import Lane
from helpers.engine.rows import count_rows, cut
from helpers.engine.scheduler import Scheduler
from helpers.engine.service import Api, ServiceSpec
from helpers.wire.errors import EngineError, invalid

_END: Any = object()


@dataclass(frozen=True)
class Caller:
    """On whose behalf something runs: until when it is of use, and whether anyone still waits."""

    deadline: float = math.inf
    has_left: Callable[[], bool] | None = None


NOBODY = Caller()

# So that a service that asks another one passes on its own caller's patience.
current_caller: ContextVar[Caller] = ContextVar("current_caller", default=NOBODY)


class Endpoint:
    """Who asks (a protocol, or another service) asks here."""

    def __init__(self, spec: ServiceSpec, api: Api, instance: Any) -> None:
        self.spec = spec
        self.api = api
        self.name = f"{spec.name}.{api.name}"
        self.inside = 0  # calls of what is not queued: async methods, and streams
        self._method = partial(api.method, instance)
        self._promised = api.result.promised
        batching = api.batching
        size = BatchSize(batching.largest, batching.target) if batching else BatchSize(1)
        window = batching.window if batching else 0.0
        scheduler = Scheduler(time.monotonic, size, spec.most_waiting, window)
        self.lane = Lane(self._answer, scheduler, self.name, spec.threads, varies=True)
        self._pool: ThreadPoolExecutor | None = None

    def checked(self, named: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values in the method's order, defaults filled in."""
        values = []
        for name, parameter in self.api.parameters.items():
            value = named.get(name, self.api.defaults.get(name, _END))
            if value is _END:
                raise invalid(name, "missing", "a value for it")
            if name in named:
                parameter.check(value, self.spec.finite_only)
            values.append(value)
        unknown = sorted(named.keys() - self.api.parameters.keys())
        if unknown:
            raise invalid(unknown[0][:80], "not a parameter", f"one of {', '.join(self.api.parameters) or 'none'}")
        return tuple(values)

    async def call(self, values: Sequence[Any], caller: Caller) -> Any:
        """The answer to checked values."""
        if not self.api.is_async:
            rows, kind = self._rows(values) if self.api.batching else (1, None)
            return await self.lane.ask(values, rows, kind, caller.deadline, caller.has_left)
        with self._one_more(), _on_behalf_of(caller):
            async with _limited(caller.deadline):
                return self._promised(await self._method(*values))

    async def stream(self, values: Sequence[Any], caller: Caller) -> AsyncGenerator[Any, None]:
        """The items of a generator. The caller's patience is for each of them, from one to the next."""
        patience = caller.deadline - time.monotonic()
        with self._one_more():
            items = self._method(*values) if self.api.is_async else self._from_thread(self._method(*values))
            try:
                while True:
                    ends = time.monotonic() + patience
                    with _on_behalf_of(Caller(ends, caller.has_left)):  # and not while whoever iterates has its turn
                        async with _limited(ends):
                            item = await anext(items, _END)
                    if item is _END:
                        return
                    yield item
            finally:
                await items.aclose()

    async def work(self, values: Sequence[Any], progress: Callable[[Any], None]) -> Any:
        """A long-running call, outside the queue. Of a generator each item is progress, and the last the answer."""
        if self.api.streams:
            answer = None
            async with contextlib.aclosing(self.stream(values, Caller())) as items:
                async for item in items:
                    answer = item
                    progress(item)
            return self._promised(answer)
        if self.api.is_async:
            return self._promised(await self._method(*values))
        running = asyncio.get_running_loop().run_in_executor(self._own_pool(), self._answer, values)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:  # a thread cannot be interrupted: the next task waits until it is done
            await asyncio.wait([running])
            raise

    def close(self) -> None:
        self.lane.close()
        if self._pool is not None:
            self._pool.shutdown()

    async def _from_thread(self, items: Generator[Any, None, None]) -> AsyncGenerator[Any, None]:
        """An ordinary generator, each step of it in a thread."""
        pool, given_up, step = self._own_pool(), False, None

        def next_item() -> Any:
            return _END if given_up else next(items, _END)

        try:
            while True:
                step = pool.submit(next_item)
                item = await asyncio.shield(asyncio.wrap_future(step))
                if item is _END:
                    return
                yield item
        finally:
            given_up = True
            if step is None or step.done():
                await asyncio.wrap_future(pool.submit(items.close))
            else:  # in the middle of a step, which cannot be interrupted: its thread closes when it is done
                step.add_done_callback(lambda _: items.close())

    def _own_pool(self) -> ThreadPoolExecutor:
        """For what is not queued: streams and tasks."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.spec.threads, thread_name_prefix=self.name)
        return self._pool

    def _rows(self, values: Sequence[Any]) -> tuple[int, tuple[object, ...]]:
        """How many rows the values have, and what they may go together with."""
        names = list(self.api.parameters)
        counts = [count_rows(value) for value in values]
        if counts[0] == 0:
            raise invalid(names[0], "empty", "at least one row")
        if counts[0] > self.spec.most_waiting:
            raise EngineError("too_large", f"{counts[0]} rows are more than the {self.spec.most_waiting} that may wait")
        for name, count in zip(names, counts, strict=True):
            if count != counts[0]:
                raise invalid(name, f"{count} rows long", f"as many as {names[0]} has, which are {counts[0]}")
        kinds = (each.kind(value) for each, value in zip(self.api.parameters.values(), values, strict=True))  # type: ignore[union-attr]
        return counts[0], tuple(kinds)

    def _answer(self, work: Sequence[Any]) -> Any:
        try:
            answer = self._promised(self._method(*work))
        except StopIteration as error:  # it would end whoever waits for the answer, and not be told to anyone
            raise RuntimeError(f"{self.name} raised StopIteration") from error
        if self.api.batching:
            cut(answer, [count_rows(work[0])])  # a method that loses rows is found out before it has company
        return answer

    @contextlib.contextmanager
    def _one_more(self) -> Iterator[None]:
        if self.inside >= self.spec.most_waiting:
            raise EngineError("overloaded", "too many requests are being answered", retry_after=1.0)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


@contextlib.contextmanager
def _on_behalf_of(caller: Caller) -> Iterator[None]:
    before = current_caller.get()
    current_caller.set(caller)
    try:
        yield
    finally:
        current_caller.set(before)


@contextlib.asynccontextmanager
async def _limited(deadline: float) -> AsyncIterator[None]:
    """Give up at the deadline, which is on the monotonic clock."""
    left = None if deadline == math.inf else deadline - time.monotonic()
    try:
        async with asyncio.timeout(left) as limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise EngineError("deadline_exceeded", "the time for this request ran out") from None
        raise
