"""Where batches run: on the event loop if they are quick, and in a thread of their own if they are not.

A quick model blocks the loop for less time than handing it to a thread would take. A lone
request for it is answered on the spot. Once several arrive in one turn of the event loop,
those of a turn gather in the queue and go together, and those of the next with them, as
long as each turn brings more: that is batching when busy, for a server that is busy with the
loop itself. What takes longer runs in a thread, and requests gather while it does.
"""

import asyncio
import math
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from helpers.engine.job import Job, Refused
from helpers.engine.rows import count_rows, cut, joined
from helpers.engine.scheduler import Scheduler
from helpers.wire.errors import ClientGone, EngineError

Work = Sequence[Any]  # what one request brings: a value for each input, each with its rows

INLINE_SECONDS = 0.003  # nobody notices an event loop that is away for less
ALONE = 16  # after so many batches of one, requests are answered on the spot again
TRY_AGAIN = 64  # where company does not pay, every so many times that there is some, it is tried again
RARELY = 1000  # times as long as a method kept the loop, it is not run there again
LOOK = 7  # after so many requests on the spot, or one more, one is timed and its neighbours counted


class Lane:
    """One model's way to its processor: ``run`` answers one request's work, or several requests' put together."""

    def __init__(
        self,
        run: Callable[[Work], Any],
        scheduler: Scheduler,
        name: str = "model",
        threads: int = 1,
        varies: bool = False,
    ) -> None:
        self.run = run
        self.scheduler = scheduler
        self.name = name
        self.threads = scheduler.executors = threads
        self.batches = 0
        self._running = 0  # batches in threads
        self._varies = varies  # as a method may: quick now, and a second later it waits for a disk
        self._not_here_until = 0.0
        self._window = scheduler.window  # who has one waits for company, however quick the model is
        self._planned = False
        self._gathered = 0  # rows in the queue, when we last looked whether more come
        self._gathering = False
        self._in_this_turn = 0  # of the loop, since we last looked
        self._looking = False
        self._declined = 0  # times that several came, and did not gather
        self._next_look = 1
        self._pause = LOOK
        self._singles = 0
        self._pool: ThreadPoolExecutor | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_for = math.inf
        self._empty: asyncio.Event | None = None

    async def ask(
        self,
        work: Work,
        rows: int,
        kind: Hashable = None,
        deadline: float = math.inf,
        has_left: Callable[[], bool] | None = None,
    ) -> Any:
        """The answer for one request's work, or the error that belongs to it."""
        loop = asyncio.get_running_loop()
        if not (self._gathering or self._running or self._planned or self._window) and self._is_quick(rows):
            return self._answer_on_the_spot(loop, work, rows)
        answer: asyncio.Future[Any] = loop.create_future()
        job = Job(rows, kind, deadline, (work, answer), has_left)
        try:
            self.scheduler.admit(job)
        except Refused as refused:
            raise _turned_away(refused) from None
        if not self._planned and not self._is_full:
            self._planned = True
            loop.call_soon(self._next, loop)
        elif self._is_full and (self._timer is None or deadline < self._timer_for):
            self._watch_deadlines(loop)
        try:
            return await answer
        except asyncio.CancelledError:
            self.scheduler.cancel(job)
            raise

    async def drain(self) -> None:
        """Wait until everyone who is here has an answer; then close. Nobody new may come meanwhile."""
        if self._running or self._planned or self.scheduler.due_at() is not None:
            self._empty = asyncio.Event()
            await self._empty.wait()
        self.close()

    def close(self) -> None:
        """Let what runs come to its end, and take the threads down."""
        if self._timer is not None:
            self._timer.cancel()
        if self._pool is not None:
            self._pool.shutdown()

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the next batch, if a thread is free for it."""
        if self._waits_for_more():
            loop.call_soon(self._next, loop)
            return
        self._planned = False
        if self._is_full:
            return
        batch = self.scheduler.take()
        self._tell_the_dropped()
        if not batch:
            self._wake_when_due(loop)
            return
        self.batches += 1
        self._singles = self._singles + 1 if len(batch) == 1 else 0
        self._gathering = self._singles < ALONE and self.scheduler.size.pays
        if self._is_quick(sum(job.rows for job in batch)):
            self._run_here(batch)
            self._plan(loop)
            return
        self._running += 1
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix=f"lane-{self.name}")
        try:
            running = self._pool.submit(answers_for, self.run, [job.work[0] for job in batch])
        except RuntimeError as error:  # the system has no thread to give
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
            self._running -= 1
            self._failed(batch, error)
            self._plan(loop)
            return
        running.add_done_callback(lambda done: loop.call_soon_threadsafe(self._came_back, loop, batch, done))
        if self._is_full:
            self._watch_deadlines(loop)
        else:
            self._plan(loop)

    def _waits_for_more(self) -> bool:
        """True if the loop's last turn brought some that may run with those before them, and so may the next."""
        rows, before = self.scheduler.queued_rows, self._gathered
        self._gathered = rows if before < rows < self.scheduler.size.limit and self._is_quick(rows) else 0
        return self._gathered > 0

    @property
    def _is_full(self) -> bool:
        return self._running >= self.threads

    def _is_quick(self, rows: int) -> bool:
        """True if a batch is known to keep the loop for no longer than may be."""
        if self._not_here_until and self.scheduler.clock() < self._not_here_until:
            return False
        return 0 < self.scheduler.size.expected(rows) < INLINE_SECONDS

    def _answer_on_the_spot(self, loop: asyncio.AbstractEventLoop, work: Work, rows: int) -> Any:
        """No queue, no future, no other turn of the loop; but now and then a look at who else is there."""
        self.batches += 1
        self._in_this_turn += 1
        if self.batches < self._next_look:
            return self._on_the_loop(work)
        # After 7, after 8, after 7, …: were it always the last of its turn, nobody would be seen after it.
        self._pause = 2 * LOOK + 1 - self._pause
        self._next_look = self.batches + self._pause
        if not self._looking:
            self._looking, self._in_this_turn = True, 1
            loop.call_soon(self._turn_is_over)
        began = self.scheduler.clock()
        answers = self._on_the_loop(work)
        self.scheduler.size.learn(rows, self.scheduler.clock() - began)
        return answers

    def _on_the_loop(self, work: Work) -> Any:
        """Run it here and now. What has kept the loop too long once shall not do so often."""
        if not self._varies:
            return self.run(work)
        began = self.scheduler.clock()
        try:
            return self.run(work)
        finally:
            away = self.scheduler.clock() - began
            if away > INLINE_SECONDS:
                self._not_here_until = began + RARELY * away

    def _turn_is_over(self) -> None:
        """Several came in one turn: from now on they gather, if that pays; now and then it is tried again."""
        self._looking = False
        if self._in_this_turn > 1:
            self._declined += 1
            if self.scheduler.size.pays or self._declined >= TRY_AGAIN:
                self._gathering, self._singles, self._declined = True, 0, 0

    def _run_here(self, batch: list[Job]) -> None:
        try:
            answers = answers_for(self._on_the_loop, [job.work[0] for job in batch])
        except Exception as error:  # whatever a model raises
            self._failed(batch, error)
        else:
            self._answered(batch, answers)

    def _came_back(self, loop: asyncio.AbstractEventLoop, batch: list[Job], done: "Future[list[Any]]") -> None:
        self._running -= 1
        error = done.exception()
        if error is None:
            self._answered(batch, done.result())
        else:
            self._failed(batch, error)
        self._tell_the_dropped()
        self._plan(loop)

    def _answered(self, batch: list[Job], answers: list[Any]) -> None:
        self.scheduler.finish(batch)
        for job, own in zip(batch, answers, strict=True):
            if not job.work[1].done():
                job.work[1].set_result(own)

    def _failed(self, batch: list[Job], error: BaseException) -> None:
        culprit = self.scheduler.fail(batch)
        if culprit is not None and not culprit.work[1].done():
            culprit.work[1].set_exception(error)

    def _tell_the_dropped(self) -> None:
        for job in self.scheduler.dropped():
            if not job.work[1].done():
                late = EngineError("deadline_exceeded", "the time for this request ran out")
                job.work[1].set_exception(ClientGone() if job.is_unwanted else late)

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        """If someone waits: after the event loop has read what arrived meanwhile."""
        if self.scheduler.due_at() is None:
            self._tell_that_it_is_empty()
        elif not self._planned:
            self._planned = True
            loop.call_soon(self._next, loop)

    def _tell_that_it_is_empty(self) -> None:
        if self._empty is not None and not self._running:
            self._empty.set()

    def _wake_when_due(self, loop: asyncio.AbstractEventLoop) -> None:
        due = self.scheduler.due_at()
        if due is None:
            self._tell_that_it_is_empty()
        else:
            self._planned = True
            loop.call_later(max(0.0, due - self.scheduler.clock()), self._next, loop)

    def _watch_deadlines(self, loop: asyncio.AbstractEventLoop) -> None:
        """While a batch runs in the thread, someone must look at the clock for those who wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_for = self.scheduler.first_deadline()
        if self._timer_for < math.inf:
            self._timer = loop.call_later(max(0.0, self._timer_for - self.scheduler.clock()), self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self.scheduler.expire()
        self._tell_the_dropped()
        self._watch_deadlines(loop)


def answers_for(run: Callable[[Work], Any], requests: list[Work]) -> list[Any]:
    """Run several requests as one batch, and cut the answer up again."""
    if len(requests) == 1:
        return [run(requests[0])]
    counts = [count_rows(work[0]) for work in requests]
    together = run([joined(parts) for parts in zip(*requests, strict=True)])
    return cut(together, counts)


def _turned_away(refused: Refused) -> EngineError:
    if refused.reason == "full":
        return EngineError("overloaded", "too many requests are waiting", retry_after=refused.retry_after)
    return EngineError(
        "deadline_exceeded", "this request could not be answered in time", retry_after=refused.retry_after
    )
