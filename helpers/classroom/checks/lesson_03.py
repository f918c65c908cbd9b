"""Lesson 03, Run and measure: six tasks about a benchmark that is not fooled.

No check looks at a real clock. Each makes a machine of its own on which time is a number,
and knows what every call on it took.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from helpers.classroom.checking import Attempt, NotYet, task

MISTAKES_TO_NAME = ("no warm-up", "one after the other", "the mean", "the clock", "the threads", "the input")
ENOUGH_FOR_P99 = 500


class Machine:
    """Two contestants and a clock. Time passes only while a contestant works.

    ``seconds_for`` says what a call takes: whose it is, which one of theirs, which one of all.
    What every call took is in ``history``.
    """

    def __init__(self, seconds_for: Callable[[str, int, int], float], tick: float = 0.0, most_calls: int = 50_000):
        self.seconds_for = seconds_for
        self.tick = tick
        self.most_calls = most_calls
        self.now = 1000.0
        self.reads = 0
        self.history: list[tuple[str, float]] = []
        self._made: Counter[str] = Counter()

    def clock(self) -> float:
        """What time it is, in seconds; a coarse clock shows whole ticks only."""
        self.reads += 1
        if self.reads > 2 * self.most_calls:
            raise RuntimeError(f"the clock was read {self.reads:,} times, and the check gave up")
        return math.floor(self.now / self.tick) * self.tick if self.tick else self.now

    def call(self, who: str) -> None:
        self._made[who] += 1
        seconds = self.seconds_for(who, self._made[who], len(self.history) + 1)
        self.history.append((who, seconds))
        self.now += seconds
        if len(self.history) > self.most_calls:
            raise RuntimeError(f"{self.most_calls:,} calls were made, and the check gave up")

    def ours(self) -> None:
        self.call("ours")

    def theirs(self) -> None:
        self.call("theirs")


def a_machine(name: str, seed: int = 0, ratio: float = 1.0, cold: int = 26, slower: float = 0.01) -> Machine:
    """One of the exercise's three machines: ``ours`` takes ``ratio`` times as long as ``theirs``.

    >>> machine = a_machine("A")
    >>> machine.ours()
    >>> len(machine.history)
    1
    """
    chance = random.Random(f"machine {name}, {seed}")

    def seconds_for(who: str, number: int, of_all: int) -> float:
        seconds = 0.002 * chance.uniform(0.995, 1.005) * (ratio if who == "ours" else 1)
        if name == "A" and chance.random() < 0.06:
            seconds += chance.uniform(0.02, 0.04)
        if name == "B" and number <= (cold if who == "ours" else 2):
            seconds *= 3
        if name == "C":
            seconds *= 1 + slower * of_all
        return seconds

    return Machine(seconds_for)


@task(
    "name_mistakes",
    title="Say which mistake of `fooled` each of the three machines takes advantage of",
    hints=[
        "Look at where the long calls are: at the beginning of one contestant, here and there, or more and more.",
        "For each machine ask what would make the two equal: leaving some calls out, looking at the middle of "
        "them, or mixing the two contestants.",
        "A few long calls, anywhere, move a mean. Long calls at the beginning of one contestant are what a "
        "warm-up is for. A change that goes on hits whoever comes second.",
    ],
    learned="Each mistake leaves its own mark in the samples: plot them in the order in which they were taken.",
)
def name_mistakes(attempt: Attempt) -> None:
    named = attempt.answer
    attempt.expect_type(named, (tuple, list), "the answer")
    attempt.expect(len(named) == 3, f"{len(named)} answers", "three, for the machines A, B and C")
    for name, mistake in zip("ABC", named, strict=True):
        attempt.expect(
            mistake in MISTAKES_TO_NAME,
            f"for machine {name}: {str(mistake)[:40]!r}",
            f"one of: {', '.join(MISTAKES_TO_NAME)}",
        )
        ratio = fooled_but_for(mistake, a_machine(name))
        attempt.expect(
            abs(ratio - 1) < 0.02,
            f"for machine {name}: {mistake!r}. With that one mended, and nothing else, the two equal contestants "
            f"still come out as {ratio:.2f} to 1",
            "the one mistake whose mending makes them equal",
        )


def fooled_but_for(mistake: str, machine: Machine, samples: int = 40) -> float:
    """What the exercise's benchmark says when one of its mistakes is mended."""
    from statistics import fmean, median

    if mistake == "no warm-up":
        for _ in range(30):
            machine.ours()
            machine.theirs()
    taken: dict[str, list[float]] = {"ours": [], "theirs": []}
    mixed = mistake == "one after the other"
    for who in ["ours", "theirs"] * samples if mixed else ["ours"] * samples + ["theirs"] * samples:
        machine.call(who)
        taken[who].append(machine.history[-1][1])
    middle = median if mistake == "the mean" else fmean
    return middle(taken["ours"]) / middle(taken["theirs"])


@task(
    "only_the_call",
    title="Time the calls of a warm model, and nothing else",
    hints=[
        "What may happen only once, and before the first look at the clock that counts?",
        "Open once, make the calls of the warm-up without keeping anything, then keep one number for each call.",
        "In the loop: look at the clock, call, look again, append the difference. Nothing else belongs between "
        "the two looks.",
    ],
    learned="What is opened, read or warmed up stands before the first look at the clock.",
)
def only_the_call(attempt: Attempt) -> None:
    for warm_up, samples in ((3, 10), (0, 4), (6, 25)):
        cold = warm_up
        opened: list[int] = []

        def seconds_for(who: str, number: int, of_all: int, cold: int = cold) -> float:
            return float(attempt.rng.uniform(1e-3, 2e-3)) * (20 if number <= cold else 1)

        machine = Machine(seconds_for)

        def open_call(machine: Machine = machine, opened: list[int] = opened) -> Callable[[], None]:
            opened.append(1)
            machine.now += 0.3
            return machine.ours

        given = attempt.call(open_call, machine.clock, warm_up, samples)
        asked = f"with warm_up={warm_up} and samples={samples}"
        attempt.expect(len(opened) == 1, f"{asked}, the model was opened {len(opened)} times", "once")
        made = len(machine.history)
        attempt.expect(made == warm_up + samples, f"{asked}, {made} calls", f"{warm_up + samples} calls")
        numbers = _numbers(attempt, given, "the result")
        attempt.expect(len(numbers) == samples, f"{asked}, {len(numbers)} numbers", f"{samples}, one for each sample")
        for place, (number, (_, took)) in enumerate(zip(numbers, machine.history[warm_up:], strict=True)):
            attempt.expect(
                abs(number - took) < 1e-7,
                f"{asked}, sample {place} is {_told(number)}, and that call took {_told(took)}"
                + (" (a call of the warm-up took 20 times as long)" if number > 5 * took and warm_up else ""),
                "the time of the call and of nothing else, for the calls after the warm-up, in order",
            )


@task(
    "calls_for_a_sample",
    title="Find out how many calls make a sample that the clock can see",
    hints=[
        "On this clock one call takes nothing at all. How many must you make before it moves far enough?",
        "Try 1 call, then 2, then 4, and so on, each time between two looks at the clock, until they last long enough. "
        "And what does the very first call of a model do?",
        "Call once, without the clock. Then: calls = 1; time that many in a row; if it is at least `shortest` return "
        "calls, and otherwise double it and try again.",
    ],
    learned="A sample must be long beside a tick of the clock; for a short call that takes many calls.",
)
def calls_for_a_sample(attempt: Attempt) -> None:
    tick, shortest = 1e-3, 20e-3
    for low, high in ((165e-6, 190e-6), (2e-3, 4e-3), (40e-3, 60e-3), (5e-6, 9e-6)):
        seconds = float(attempt.rng.uniform(low, high))

        def seconds_for(who: str, number: int, of_all: int, seconds: float = seconds) -> float:
            return 0.5 if number == 1 else seconds

        machine = Machine(seconds_for, tick, most_calls=300_000)
        given = attempt.call(machine.ours, machine.clock, shortest)
        attempt.expect_type(given, (int, _integer()), "the result")
        calls, asked = int(given), f"for calls of {_told(seconds)}, after a first one of 500 ms"
        attempt.expect(calls >= 1, f"{asked}: {calls} calls", "one or more")
        attempt.expect(
            calls * seconds >= shortest - tick,
            f"{asked}: {calls} calls, which last {_told(calls * seconds)}",
            f"a sample of at least {_told(shortest)}",
        )
        attempt.expect(
            calls == 1 or calls * seconds <= 4 * (shortest + tick),
            f"{asked}: {calls:,} calls, which last {_told(calls * seconds)}",
            f"at most four times as many as {_told(shortest)} need",
        )


@task(
    "in_turns",
    title="Let the contestants take turns, in an order that changes",
    hints=[
        "Two loops, one inside the other. Which is outside, the one over rounds or the one over contestants?",
        "Each round calls everyone once, and somebody else goes first: turn the list of names by one place, or "
        "shuffle it.",
        "For round r and n names: the order is names[r % n:] + names[:r % n]. Keep one number for each call, under "
        "the name of the one that was called.",
    ],
    learned="What changes during the measurement hits everyone alike, and so does going first.",
)
def in_turns(attempt: Attempt) -> None:
    for names, rounds in ((["ours", "theirs"], 40), (["a", "b", "c"], 60)):
        drift = float(attempt.rng.uniform(0.005, 0.02))

        def seconds_for(who: str, number: int, of_all: int, drift: float = drift) -> float:
            return float(attempt.rng.uniform(1e-3, 1.1e-3)) * (1 + drift * of_all)

        machine = Machine(seconds_for)
        contestants = {name: _caller(machine, name) for name in names}
        given = attempt.call(contestants, machine.clock, rounds)
        attempt.expect_type(given, dict, "the result")
        attempt.expect(
            list(given.keys()) == names or set(given) == set(names), f"the names {list(given)}", f"the names {names}"
        )
        order = [who for who, _ in machine.history]
        made = dict(Counter(order))
        attempt.expect(
            all(made.get(name) == rounds for name in names),
            f"calls in {rounds} rounds: {made or 'none'}",
            f"{rounds} calls of each",
        )
        in_rounds = [order[start : start + len(names)] for start in range(0, len(order), len(names))]
        for number, called in enumerate(in_rounds):
            attempt.expect(
                sorted(called) == sorted(names), f"in round {number}: {', '.join(called)}", "each of them once a round"
            )
        first = Counter(called[0] for called in in_rounds)
        for name in names:
            attempt.expect(
                first[name] >= 0.4 * rounds / len(names),
                f"{name!r} goes first in {first[name]} of {rounds} rounds",
                "everyone first about equally often",
            )
        for name in names:
            numbers = _numbers(attempt, given[name], f"what belongs to {name!r}")
            took = [seconds for who, seconds in machine.history if who == name]
            attempt.expect(
                len(numbers) == rounds, f"{len(numbers)} numbers for {name!r}", f"{rounds}, one for each round"
            )
            wrong = [place for place in range(rounds) if abs(numbers[place] - took[place]) > 1e-7]
            attempt.expect(
                not wrong,
                f"round {wrong[0] if wrong else 0} of {name!r}: {_told(numbers[wrong[0]]) if wrong else ''}, "
                f"and that call took {_told(took[wrong[0]]) if wrong else ''}",
                "the time of each call under its own name, in the order of the rounds",
            )


@task(
    "summary",
    title="Sum up samples, without promising more than they can tell",
    hints=[
        "Which number does one interruption leave where it was? And between which two does the middle half lie?",
        "np.percentile(seconds, [25, 50, 75, 99]) gives all four. Not all of them may be handed out each time.",
        "The p99 is None when there are fewer than 500 samples: five must lie beyond it.",
    ],
    learned="The median and its quartiles stand on few samples. A p99 stands on those beyond it.",
)
def summary(attempt: Attempt) -> None:
    for count in (9, 100, 499, 500, 2000):
        seconds = attempt.rng.lognormal(-7, 0.3, count)
        seconds[attempt.rng.random(count) < 0.04] *= 50
        before = seconds.tolist()
        handed = seconds.tolist() if count < 500 else seconds
        given = attempt.call(handed)
        attempt.expect(list(handed) == before, "the samples are changed afterwards", "samples that stay as they were")
        attempt.expect_type(given, dict, "the result")
        wanted = {"median": 50, "low": 25, "high": 75, "p99": 99}
        attempt.expect(set(given) == set(wanted), f"the names {list(given)}", f"the names {list(wanted)}")
        for name, percent in wanted.items():
            if name == "p99" and count < ENOUGH_FOR_P99:
                attempt.expect(
                    given[name] is None, f"from {count} samples a p99 of {str(given[name])[:20]}", "None: too few"
                )
                continue
            attempt.expect_type(given[name], (float, int, _floating()), f"the {name} of {count} samples")
            low, high = _percentile(before, percent)
            attempt.expect(
                low <= given[name] <= high,
                f"from {count} samples, {name} is {_told(given[name])}; their mean is {_told(sum(before) / count)}",
                f"the time that {percent}% of them do not exceed: about {_told((low + high) / 2)}",
            )


@task(
    "compare",
    title="Write the benchmark that none of the three machines can fool",
    hints=[
        "You have all the parts: a warm-up, turns, and a median. Which of them meets which machine?",
        "Call both some 30 times first. Then let them take turns, often enough, and divide within each round.",
        "The result is the median, over the rounds, of our time divided by theirs.",
    ],
    learned="Warm, in turns, median of the ratios: three lines, and three machines that can no longer fool you.",
)
def compare(attempt: Attempt) -> None:
    steady = a_machine("none", attempt.seed)
    _compared(attempt, steady, "on a machine without any trouble", 1.0)
    made = len(steady.history)
    attempt.expect(
        {who for who, _ in steady.history} == {"ours", "theirs"}, f"{made} calls, not of both", "calls of both"
    )
    cold = int(attempt.rng.integers(27, 31))
    for ratio in (1.0, 1.25):
        for seed in range(3):
            machine = a_machine("A", attempt.seed + 100 * seed, ratio)
            _compared(attempt, machine, "on a machine that is interrupted now and then", ratio)
        where = f"on a machine where our first {cold} calls are slow"
        _compared(attempt, a_machine("B", attempt.seed, ratio, cold=cold), where, ratio)
        machine = a_machine("C", attempt.seed, ratio, slower=0.8 / made)
        _compared(attempt, machine, "on a machine that gets slower and slower", ratio)


def _compared(attempt: Attempt, machine: Machine, where: str, ratio: float) -> None:
    given = attempt.call(machine.ours, machine.theirs, machine.clock)
    attempt.expect_type(given, (float, int, _floating()), "the result")
    equal = "two equal contestants" if ratio == 1 else f"contestants of which ours takes {ratio:.2f} times as long"
    attempt.expect(
        abs(given / ratio - 1) < 0.025, f"{where}: {given:.2f}, for {equal}", f"{ratio:.2f}, to within two percent"
    )


# What the checks are made of


def _caller(machine: Machine, name: str) -> Callable[[], None]:
    def call() -> None:
        machine.call(name)

    return call


def _numbers(attempt: Attempt, given: Any, called: str) -> list[float]:
    import numpy as np

    attempt.expect_type(given, (list, tuple, np.ndarray), called)
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise NotYet(f"{called} holds something else than numbers", "numbers, in seconds") from None
    attempt.expect(values.ndim == 1, f"{called} has {values.ndim} dimensions", "one number after the other")
    return [float(value) for value in values]


def _percentile(values: list[float], percent: float) -> tuple[float, float]:
    """Where it lies by any of the definitions in use; they differ by a fraction of a sample."""
    import numpy as np

    found = [float(np.percentile(values, percent, method=method)) for method in _definitions()]
    return min(found) - 1e-12, max(found) + 1e-12


def _definitions() -> Iterator[Any]:
    yield from ("linear", "lower", "higher", "weibull", "hazen", "median_unbiased", "inverted_cdf")


def _integer() -> type:
    import numpy as np

    return np.integer


def _floating() -> type:
    import numpy as np

    return np.floating


def _told(seconds: float) -> str:
    from helpers.bench.timing import duration

    return duration(seconds)
