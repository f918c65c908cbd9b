"""Batching on paper: arrivals, a policy and what a batch costs give a timeline. No clock runs here.

A policy is a function that is asked whenever the model is free and someone waits:

>>> def when_busy(now, waiting):  # the arrival times of those who wait, the oldest first
...     return min(len(waiting), 8)  # how many to run now; 0 keeps them waiting

It is asked again at each arrival, at each end of a batch, and at the times that it named as
``policy.window`` after an arrival.
"""

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Policy = Callable[[float, list[float]], int]


@dataclass(frozen=True)
class Cost:
    """A batch of n takes a + b·n seconds."""

    a: float
    b: float

    def __call__(self, rows: int) -> float:
        return self.a + self.b * rows


@dataclass(frozen=True)
class Batch:
    """One call of the model: since when, until when, for which arrivals."""

    started: float
    ended: float
    arrivals: tuple[float, ...]


@dataclass(frozen=True)
class Timeline:
    """What happened, batch by batch."""

    batches: tuple[Batch, ...]

    @property
    def latencies(self) -> NDArray[np.float64]:
        """From arrival to answer, in the order of arrival."""
        ended = sorted((arrived, batch.ended) for batch in self.batches for arrived in batch.arrivals)
        return np.array([end - arrived for arrived, end in ended])

    @property
    def rate(self) -> float:
        """Answers a second, from the first arrival to the last answer."""
        first = min(arrived for batch in self.batches for arrived in batch.arrivals)
        return len(self.latencies) / (self.batches[-1].ended - first)

    @property
    def mean_rows(self) -> float:
        """How many went together, on average."""
        return len(self.latencies) / len(self.batches)


def one_at_a_time(now: float, waiting: list[float]) -> int:
    """No batching."""
    return 1


def when_busy(largest: int) -> Policy:
    """Whoever waits when the model is free runs now."""
    return lambda now, waiting: min(len(waiting), largest)


def in_a_window(window: float, largest: int) -> Policy:
    """Wait until the batch is full, or its oldest has waited for the window."""

    def policy(now: float, waiting: list[float]) -> int:
        is_due = len(waiting) >= largest or now >= waiting[0] + window
        return min(len(waiting), largest) if is_due else 0

    policy.window = window  # type: ignore[attr-defined]
    return policy


def poisson(rate: float, count: int, random: np.random.Generator) -> list[float]:
    """Arrival times of callers who know nothing of each other."""
    return [float(time) for time in np.cumsum(random.exponential(1 / rate, count))]


def simulate(arrivals: Sequence[float], policy: Policy, cost: Callable[[int], float]) -> Timeline:
    """Play the arrivals against a policy, with one model that does one batch at a time."""
    order = itertools.count()
    events = [(time, next(order)) for time in arrivals]
    if window := getattr(policy, "window", 0.0):
        events += [(time + window, next(order)) for time in arrivals]
    heapq.heapify(events)
    coming, waiting, batches = sorted(arrivals, reverse=True), [], []
    busy_until = -np.inf
    while events:
        now, _ = heapq.heappop(events)
        while coming and coming[-1] <= now:
            waiting.append(coming.pop())
        if now < busy_until or not waiting:
            continue
        rows = policy(now, list(waiting))
        if not isinstance(rows, int | np.integer) or not 0 <= rows <= len(waiting):
            raise ValueError(f"the policy answered {rows!r}; {len(waiting)} were waiting")
        if rows:
            busy_until = now + cost(int(rows))
            batches.append(Batch(now, busy_until, tuple(waiting[:rows])))
            del waiting[:rows]
            heapq.heappush(events, (busy_until, next(order)))
    if waiting:
        raise ValueError(f"the policy left {len(waiting)} waiting for ever")
    return Timeline(tuple(batches))
