"""Timing several things against each other, so that a bad moment of the machine hits all alike."""

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Clock = Callable[[], float]

LONG = 20  # times the shortest sample: so long a call is not made once more for nothing
MOST_CALLS = 1000  # in a sample of what the clock cannot see


@dataclass(frozen=True)
class Timing:
    """What one call took: one sample a round, in seconds."""

    seconds: NDArray[np.float64]

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """Half of all samples lie between these two."""
        low, high = np.percentile(self.seconds, [25, 75])
        return float(low), float(high)

    def ratio(self, other: "Timing") -> float:
        """How often the other's time goes into this one's, the median over the rounds.

        The two of a round were measured side by side, so their ratio is steadier than
        either time.
        """
        return float(np.median(self.seconds / other.seconds))

    def __str__(self) -> str:
        low, high = self.quartiles
        return f"{duration(self.median)} ({duration(low)} to {duration(high)})"


def take_turns(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int = 30,
    seconds: float | None = None,
    shortest: float = 1e-3,
    warm_up: int = 5,
    clock: Clock = time.perf_counter,
) -> dict[str, Timing]:
    """Call each contestant once a round, in an order that is drawn anew for each round.

    Nobody always comes after the same neighbour, who leaves the caches as it likes. What
    takes less than ``shortest`` seconds is called several times for one sample, since
    reading the clock takes time too. Before a sample comes a call that does not count,
    unless it takes very long. ``seconds`` ends the rounds early, after five at least. What
    a contestant leaves running, such as threads that spin, the others pay for: let nobody
    leave any.

    >>> times = take_turns({"ours": ours, "theirs": theirs})  # doctest: +SKIP
    >>> times["ours"].ratio(times["theirs"])                  # doctest: +SKIP
    """
    warm = {name: _warm_seconds(call, warm_up, shortest, clock) for name, call in contestants.items()}
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    names, order = list(contestants), random.Random(0)
    with _no_garbage_collection():
        began = clock()
        for number in range(rounds):
            if seconds is not None and number >= 5 and clock() - began >= seconds:
                break
            for name in order.sample(names, len(names)):
                if warm[name] < LONG * shortest:
                    contestants[name]()  # the first one after a neighbour pays for the neighbour
                calls = max(1, round(shortest / warm[name])) if warm[name] > 0 else MOST_CALLS
                taken[name].append(_sample(contestants[name], calls, clock))
    return {name: Timing(np.array(samples)) for name, samples in taken.items()}


def duration(seconds: float) -> str:
    """12.3 µs, 4.56 ms, 7.8 s: three digits and the unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _warm_seconds(call: Callable[[], object], warm_up: int, shortest: float, clock: Clock) -> float:
    """What a warm call takes: the shortest one, which nothing interrupted."""
    took = [_sample(call, 1, clock)]
    while len(took) < warm_up and took[-1] < LONG * shortest:
        took.append(_sample(call, 1, clock))
    return min(took)


def _sample(call: Callable[[], object], calls: int, clock: Clock) -> float:
    turns = range(calls)
    began = clock()
    for _ in turns:
        call()
    return (clock() - began) / calls


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """The collector starts when it likes, and whoever runs then would pay for all."""
    running = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
