"""Who runs next, with whom, and who is turned away.

The policy, in the order in which a request meets it:

*Admission.* A request is turned away at once, while its caller can still ask elsewhere, if
the queue is full or if it could not be answered in time: if the work that is due before
it, at the speed that was measured, ends after its deadline.

*Batch when busy.* If the executor is idle, what waits runs now: waiting for company would
cost the lone caller and gain nobody. While it is busy, requests gather by themselves, and
when it is done all are taken that fit and do not make the most urgent of them late. (A
window can be set for models that gain so much from company that everyone should wait for
it. It is 0 unless you set it.)

*Who goes together.* Only requests of one kind: the same version, types and shapes of a
row. A batch is counted in rows, since one request may bring many.

*Who goes first.* The most urgent: the earliest deadline, and those without one are taken
to have some patience, so that nobody waits for ever.

*Who does not go at all.* What was cancelled, or expired while it waited, is dropped before
it costs anything.

*When a batch fails*, it is cut in halves that run again, until the one request that broke
it is alone with its error. The others get their answers.

There is no clock and no thread in here: whoever owns a scheduler passes the time, and
takes batches when an executor is free.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from itertools import accumulate

from helpers.engine.batch_size import BatchSize
from helpers.engine.job import Job, Refused

STALE = 10.0  # seconds after which what a batch took is no reason any more to turn the next one away


class Scheduler:
    """The queue of one model."""

    def __init__(
        self, clock: Callable[[], float], size: BatchSize | None = None, most_rows: int = 1024, window: float = 0.0
    ) -> None:
        self.clock = clock
        self.size = size or BatchSize()
        self.most_rows = most_rows
        self.window = window
        self.executors = 1  # that take batches here; whoever owns more says so
        self.queued_rows = 0
        self._waiting: dict[Hashable, list[tuple[tuple[float, int], Job]]] = {}  # heaps, by kind
        self._halves: deque[list[Job]] = deque()
        self._running: dict[int, tuple[float, int]] = {}  # by the batch's first job: since when, how many rows
        self._dropped: list[Job] = []
        self._finished = clock()  # when the last batch was
        self._swept = False  # since the last batch was taken

    def admit(self, job: Job) -> None:
        """Take a request in, or raise Refused."""
        job.arrived = self.clock()
        if self._is_full(job) and not self._swept:
            self._swept = True
            self.expire()  # who has left needs no place
        if self._is_full(job):
            raise Refused("full", self.size.expected(self.queued_rows) / self.executors)
        if not self._is_surely_in_time(job):
            ends = self._would_end(job, self.queued_rows)
            if ends > job.deadline:  # with all the queue before it; now look at who really is
                ends = self._would_end(job, sum(other.rows for other in self.waiting() if other.urgency < job.urgency))
            if ends > job.deadline:
                raise Refused("late", ends - job.deadline)
        heapq.heappush(self._waiting.setdefault(job.kind, []), (job.urgency, job))
        self.queued_rows += job.rows

    def _is_surely_in_time(self, job: Job) -> bool:
        """There is ample time; or nothing was measured for long, and if all were turned away nothing ever would be."""
        rows = self.queued_rows + sum(running for _, running in self._running.values())
        is_out_of_date = not rows and job.arrived > self._finished + STALE
        return is_out_of_date or job.arrived + self.size.at_most(rows + job.rows) <= job.deadline

    def take(self) -> list[Job]:
        """The next batch for an executor that is free; nothing, if nothing is due."""
        self._swept = False
        batch: list[Job] = []
        while self._halves and not batch:
            batch = [job for job in self._halves.popleft() if self._still_wanted(job)]
        batch = batch or self._most_urgent()
        if not batch and self._is_due():  # everyone in it had gone meanwhile, and so may many others
            self.expire()
            batch = self._most_urgent()
        if batch:
            self._running[batch[0].number] = self.clock(), sum(job.rows for job in batch)
        return batch

    def finish(self, batch: list[Job]) -> None:
        """A batch was answered."""
        since, rows = self._running.pop(batch[0].number)
        self._finished = self.clock()
        self.size.learn(rows, self._finished - since)

    def fail(self, batch: list[Job]) -> Job | None:
        """A batch raised: the culprit, if it was alone; else its halves are due next."""
        self._running.pop(batch[0].number)
        if len(batch) == 1:
            return batch[0]
        middle = len(batch) // 2
        self._halves.extendleft([batch[middle:], batch[:middle]])
        return None

    def cancel(self, job: Job) -> None:
        """Its caller has gone. It leaves the queue when its turn comes."""
        job.cancelled = True

    def first_deadline(self) -> float:
        """When the first of those who wait will have waited in vain."""
        return min((job.deadline for job in self.waiting()), default=math.inf)

    def expire(self) -> None:
        """Drop now what has expired or was cancelled, and would be dropped when its turn comes."""
        for kind, heap in list(self._waiting.items()):
            kept = [entry for entry in heap if self._still_wanted(entry[1])]
            heapq.heapify(kept)
            self._waiting[kind] = kept
            if not kept:
                del self._waiting[kind]
        self.queued_rows = sum(job.rows for job in self.waiting())

    def dropped(self) -> list[Job]:
        """Those that were cancelled or expired since this was last asked: tell their callers."""
        gone, self._dropped = self._dropped, []
        return gone

    def due_at(self) -> float | None:
        """When ``take`` will have something; None, if nobody waits."""
        if self._halves:
            return self.clock()
        return min(map(self._starts, self._waiting.values()), default=None)

    def waiting(self) -> Iterator[Job]:
        """Everyone in the queue, in no order."""
        return (job for heap in self._waiting.values() for _, job in heap)

    def _is_due(self) -> bool:
        due = self.due_at()
        return due is not None and due <= self.clock()

    def _most_urgent(self) -> list[Job]:
        """The first of the most urgent kind that is due, and as many after it as fit and do not make it late."""
        now = self.clock()
        due = [(heap[0][0], kind) for kind, heap in self._waiting.items() if self._starts(heap) <= now]
        if not due:
            return []
        kind = min(due, key=lambda entry: entry[0])[1]
        heap, rows, ends = self._waiting[kind], 0, math.inf
        batch: list[Job] = []
        while heap and (not batch or self._fits(rows + heap[0][1].rows, now, ends)):
            job = heapq.heappop(heap)[1]
            self.queued_rows -= job.rows
            if self._still_wanted(job):
                batch.append(job)
                rows += job.rows
                ends = min(ends, job.deadline if now + self.size.expected(rows) <= job.deadline else math.inf)
        if not heap:
            del self._waiting[kind]
        return batch

    def _fits(self, rows: int, now: float, ends: float) -> bool:
        """True if so many rows may run together, and would be done before the first of them must be."""
        return rows <= self.size.limit and now + self.size.expected(rows) <= ends

    def _starts(self, heap: list[tuple[tuple[float, int], Job]]) -> float:
        """When a kind is due: at once, or when its window ends or a batch is full."""
        if not self.window or sum(job.rows for _, job in heap) >= self.size.limit:
            return -math.inf
        return min(job.arrived for _, job in heap) + self.window

    def _still_wanted(self, job: Job) -> bool:
        if not job.is_unwanted and job.deadline > self.clock():
            return True
        self._dropped.append(job)
        return False

    def _is_full(self, job: Job) -> bool:
        """True if there is no room. One with more rows than there ever is room for may wait alone."""
        return 0 < self.queued_rows > self.most_rows - job.rows

    def _would_end(self, job: Job, rows_before: int) -> float:
        """When it could be answered at the soonest: all before it must be done, and an executor be free for it."""
        expected, now = self.size.expected, job.arrived
        free_in = [max(0.0, since + expected(rows) - now) for since, rows in self._running.values()]
        free_in = sorted(free_in + [0.0] * (self.executors - len(free_in)))
        work = expected(rows_before + job.rows)
        # With the help of so many executors as makes it soonest: one that is busy for long is no help.
        done = min((busy + work) / helping for helping, busy in enumerate(accumulate(free_in), 1))
        return now + max(free_in[0] + expected(job.rows), done)
