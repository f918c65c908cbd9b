"""What goes wrong in lesson 03."""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Call = Callable[[], object]
Clock = Callable[[], float]


def sample(call: Call, clock: Clock) -> float:
    began = clock()
    call()
    return clock() - began


# only_the_call


def opens_for_each_sample(open_call: Callable[[], Call], clock: Clock, warm_up: int, samples: int) -> list[float]:
    return [sample(open_call(), clock) for _ in range(samples)]


def opens_between_the_looks(open_call: Callable[[], Call], clock: Clock, warm_up: int, samples: int) -> list[float]:
    began = clock()
    call = open_call()
    for _ in range(warm_up):
        call()
    call()
    first = clock() - began
    return [first, *(sample(call, clock) for _ in range(samples - 1))]


def forgets_the_warm_up(open_call: Callable[[], Call], clock: Clock, warm_up: int, samples: int) -> list[float]:
    call = open_call()
    return [sample(call, clock) for _ in range(samples)]


def keeps_the_warm_up(open_call: Callable[[], Call], clock: Clock, warm_up: int, samples: int) -> list[float]:
    call = open_call()
    return [sample(call, clock) for _ in range(warm_up + samples)]


def keeps_the_first_and_drops_the_last(
    open_call: Callable[[], Call], clock: Clock, warm_up: int, samples: int
) -> list[float]:
    return keeps_the_warm_up(open_call, clock, warm_up, samples)[:samples]


def warms_up_another_one(open_call: Callable[[], Call], clock: Clock, warm_up: int, samples: int) -> list[float]:
    for _ in range(warm_up):
        open_call()()
    return forgets_the_warm_up(open_call, clock, warm_up, samples)


def returns_the_mean(open_call: Callable[[], Call], clock: Clock, warm_up: int, samples: int) -> float:
    call = open_call()
    return statistics.fmean([sample(call, clock) for _ in range(warm_up + samples)][warm_up:])


def never_resets_the_beginning(open_call: Callable[[], Call], clock: Clock, warm_up: int, samples: int) -> list[float]:
    call = open_call()
    for _ in range(warm_up):
        call()
    began, taken = clock(), []
    for _ in range(samples):
        call()
        taken.append(clock() - began)
    return taken


def calls_twice_for_each_sample(open_call: Callable[[], Call], clock: Clock, warm_up: int, samples: int) -> list[float]:
    call = open_call()
    for _ in range(warm_up):
        call()
    return [(call(), sample(call, clock))[1] for _ in range(samples)]


# calls_for_a_sample


def divides_by_one_cold_call(call: Call, clock: Clock, shortest: float) -> int:
    return max(1, round(shortest / max(sample(call, clock), 1e-9)))


def divides_by_one_warm_call(call: Call, clock: Clock, shortest: float) -> int:
    call()
    return max(1, round(shortest / max(sample(call, clock), 1e-9)))


def forgets_that_the_first_is_cold(call: Call, clock: Clock, shortest: float) -> int:
    calls = 1
    while True:
        began = clock()
        for _ in range(calls):
            call()
        if clock() - began >= shortest:
            return calls
        calls *= 2


def always_a_thousand(call: Call, clock: Clock, shortest: float) -> int:
    return 1000


def always_one(call: Call, clock: Clock, shortest: float) -> int:
    return 1


def stops_at_the_first_tick(call: Call, clock: Clock, shortest: float) -> int:
    call()
    began, calls = clock(), 0
    while clock() == began:
        call()
        calls += 1
    return calls


def rounds_down_to_none(call: Call, clock: Clock, shortest: float) -> int:
    call()
    began = clock()
    for _ in range(10_000):
        call()
    return int(shortest / ((clock() - began) / 10_000))


def returns_the_seconds(call: Call, clock: Clock, shortest: float) -> float:
    call()
    return sample(call, clock)


def grows_tenfold(call: Call, clock: Clock, shortest: float) -> int:
    call()
    calls = 1
    while True:
        began = clock()
        for _ in range(calls):
            call()
        if clock() - began >= shortest:
            return calls
        calls *= 10


# in_turns

Contestants = Mapping[str, Call]
Taken = dict[str, list[float]]


def one_after_the_other(contestants: Contestants, clock: Clock, rounds: int) -> Taken:
    return {name: [sample(call, clock) for _ in range(rounds)] for name, call in contestants.items()}


def always_in_the_same_order(contestants: Contestants, clock: Clock, rounds: int) -> Taken:
    taken: Taken = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            taken[name].append(sample(call, clock))
    return taken


def there_and_back(contestants: Contestants, clock: Clock, rounds: int) -> Taken:
    taken: Taken = {name: [] for name in contestants}
    for number in range(rounds):
        for name in sorted(contestants, reverse=number % 2 == 1):
            taken[name].append(sample(contestants[name], clock))
    return taken


def draws_anyone(contestants: Contestants, clock: Clock, rounds: int) -> Taken:
    taken: Taken = {name: [] for name in contestants}
    order = [name for name in contestants for _ in range(rounds)]
    random.Random(0).shuffle(order)
    for name in order:
        taken[name].append(sample(contestants[name], clock))
    return taken


def mixes_up_the_names(contestants: Contestants, clock: Clock, rounds: int) -> Taken:
    taken: Taken = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        first = number % len(names)
        for name, called in zip(names, names[first:] + names[:first], strict=True):
            taken[name].append(sample(contestants[called], clock))
    return taken


def times_the_whole_round(contestants: Contestants, clock: Clock, rounds: int) -> Taken:
    taken: Taken = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        began, first = clock(), number % len(names)
        for name in names[first:] + names[:first]:
            contestants[name]()
            taken[name].append(clock() - began)
    return taken


def warms_up_as_well(contestants: Contestants, clock: Clock, rounds: int) -> Taken:
    for call in contestants.values():
        call()
    return draws_anyone(contestants, clock, rounds)


def returns_medians(contestants: Contestants, clock: Clock, rounds: int) -> dict[str, float]:
    taken: Taken = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(sample(contestants[name], clock))
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def one_round_too_few(contestants: Contestants, clock: Clock, rounds: int) -> Taken:
    return draws_anyone(contestants, clock, rounds - 1)


# summary


def summed_up(seconds: Sequence[float], least: int = 500) -> dict[str, Any]:
    low, median, high, p99 = np.percentile(seconds, [25, 50, 75, 99])
    return {"median": median, "low": low, "high": high, "p99": p99 if len(seconds) >= least else None}


def takes_the_mean(seconds: Sequence[float]) -> dict[str, Any]:
    return summed_up(seconds) | {"median": float(np.mean(seconds))}


def always_has_a_p99(seconds: Sequence[float]) -> dict[str, Any]:
    return summed_up(seconds, least=0)


def has_a_p99_from_a_hundred_on(seconds: Sequence[float]) -> dict[str, Any]:
    return summed_up(seconds, least=100)


def never_has_a_p99(seconds: Sequence[float]) -> dict[str, Any]:
    return summed_up(seconds) | {"p99": None}


def wants_more_than_500(seconds: Sequence[float]) -> dict[str, Any]:
    return summed_up(seconds, least=501)


def takes_the_longest_for_p99(seconds: Sequence[float]) -> dict[str, Any]:
    return summed_up(seconds) | {"p99": max(seconds) if len(seconds) >= 500 else None}


def swaps_the_quartiles(seconds: Sequence[float]) -> dict[str, Any]:
    told = summed_up(seconds)
    return told | {"low": told["high"], "high": told["low"]}


def gives_the_extremes(seconds: Sequence[float]) -> dict[str, Any]:
    return summed_up(seconds) | {"low": min(seconds), "high": max(seconds)}


def drops_what_is_long(seconds: Sequence[float]) -> dict[str, Any]:
    shorter = [one for one in seconds if one < 3 * np.median(seconds)]
    return {**summed_up(shorter, least=0), "p99": None if len(seconds) < 500 else np.percentile(shorter, 99)}


def takes_the_one_in_the_middle_of_the_list(seconds: Sequence[float]) -> dict[str, Any]:
    return summed_up(seconds) | {"median": seconds[len(seconds) // 2]}


def sorts_the_samples_themselves(seconds: Any) -> dict[str, Any]:
    seconds.sort()
    return summed_up(seconds)


def says_nan(seconds: Sequence[float]) -> dict[str, Any]:
    told = summed_up(seconds)
    return told | {"p99": float("nan") if told["p99"] is None else told["p99"]}


def forgets_a_name(seconds: Sequence[float]) -> dict[str, Any]:
    told = summed_up(seconds)
    del told["high"]
    return told


# compare


def warm(ours: Call, theirs: Call, calls: int = 30) -> None:
    for _ in range(calls):
        ours()
        theirs()


def turns(ours: Call, theirs: Call, clock: Clock, rounds: int = 60) -> np.ndarray:
    """One row a round: ours, theirs."""
    taken = []
    for number in range(rounds):
        if number % 2:
            second, first = sample(theirs, clock), sample(ours, clock)
        else:
            first, second = sample(ours, clock), sample(theirs, clock)
        taken.append((first, second))
    return np.array(taken)


def block(call: Call, clock: Clock) -> list[float]:
    return [sample(call, clock) for _ in range(60)]


def is_fooled(ours: Call, theirs: Call, clock: Clock) -> float:
    return statistics.fmean(block(ours, clock)) / statistics.fmean(block(theirs, clock))


def warms_up_and_no_more(ours: Call, theirs: Call, clock: Clock) -> float:
    warm(ours, theirs)
    return is_fooled(ours, theirs, clock)


def warm_medians_one_after_the_other(ours: Call, theirs: Call, clock: Clock) -> float:
    warm(ours, theirs)
    return statistics.median(block(ours, clock)) / statistics.median(block(theirs, clock))


def warm_turns_and_means(ours: Call, theirs: Call, clock: Clock) -> float:
    warm(ours, theirs)
    first, second = turns(ours, theirs, clock).mean(0)
    return float(first / second)


def cold_turns_and_medians(ours: Call, theirs: Call, clock: Clock) -> float:
    taken = turns(ours, theirs, clock, rounds=39)
    return float(np.median(taken[:, 0] / taken[:, 1]))


def warms_up_only_theirs(ours: Call, theirs: Call, clock: Clock) -> float:
    warm(theirs, theirs, 15)
    return cold_turns_and_medians(ours, theirs, clock)


def upside_down(ours: Call, theirs: Call, clock: Clock) -> float:
    warm(ours, theirs)
    taken = turns(ours, theirs, clock)
    return float(np.median(taken[:, 1] / taken[:, 0]))


def finds_everything_equal(ours: Call, theirs: Call, clock: Clock) -> float:
    upside_down(ours, theirs, clock)
    return 1.0


def gives_the_difference(ours: Call, theirs: Call, clock: Clock) -> float:
    warm(ours, theirs)
    taken = turns(ours, theirs, clock)
    return float(np.median(taken[:, 0] - taken[:, 1]))


def takes_the_best_of_each(ours: Call, theirs: Call, clock: Clock) -> float:
    warm(ours, theirs)
    return min(block(ours, clock)) / min(block(theirs, clock))


def gives_all_the_ratios(ours: Call, theirs: Call, clock: Clock) -> np.ndarray:
    warm(ours, theirs)
    taken = turns(ours, theirs, clock)
    return taken[:, 0] / taken[:, 1]


def looks_at_one_only(ours: Call, theirs: Call, clock: Clock) -> float:
    for _ in range(30):
        ours()
    return 1.0


MISTAKES: dict[str, dict[Any, str]] = {
    "name_mistakes": {
        ("no warm-up", "the mean", "one after the other"): "for machine A: 'no warm-up'",
        ("the mean", "one after the other", "no warm-up"): "for machine B: 'one after the other'",
        ("the mean", "no warm-up", "the mean"): "for machine C: 'the mean'",
        ("the mean", "no warm-up", "the clock"): "still come out as",
        ("the mean", "no warm-up"): "2 answers",
        ("mean", "warm-up", "order"): "one of: no warm-up",
        "the mean": "the answer is str",
    },
    "only_the_call": {
        opens_for_each_sample: "the model was opened 10 times",
        opens_between_the_looks: "nothing else",
        forgets_the_warm_up: "10 calls",
        keeps_the_warm_up: "13 numbers",
        keeps_the_first_and_drops_the_last: "20 times as long",
        warms_up_another_one: "the model was opened 4 times",
        returns_the_mean: "the result is float",
        never_resets_the_beginning: "sample 1 is",
        calls_twice_for_each_sample: "23 calls",
    },
    "calls_for_a_sample": {
        divides_by_one_cold_call: "a sample of at least 20 ms",
        divides_by_one_warm_call: "at most four times as many",
        forgets_that_the_first_is_cold: "1 calls, which last",
        always_a_thousand: "at most four times as many",
        always_one: "a sample of at least 20 ms",
        stops_at_the_first_tick: "a sample of at least 20 ms",
        rounds_down_to_none: "0 calls",
        returns_the_seconds: "the result is float",
        grows_tenfold: "at most four times as many",
    },
    "in_turns": {
        one_after_the_other: "each of them once a round",
        always_in_the_same_order: "everyone first about equally often",
        there_and_back: "goes first in 0 of 60 rounds",
        draws_anyone: "each of them once a round",
        mixes_up_the_names: "under its own name",
        times_the_whole_round: "the time of each call",
        warms_up_as_well: "40 calls of each",
        returns_medians: "what belongs to 'ours' is float",
        one_round_too_few: "40 calls of each",
    },
    "summary": {
        takes_the_mean: "median is",
        always_has_a_p99: "None: too few",
        has_a_p99_from_a_hundred_on: "None: too few",
        never_has_a_p99: "the p99 of 500 samples is NoneType",
        wants_more_than_500: "the p99 of 500 samples is NoneType",
        takes_the_longest_for_p99: "p99 is",
        swaps_the_quartiles: "low is",
        gives_the_extremes: "low is",
        drops_what_is_long: "median is",
        takes_the_one_in_the_middle_of_the_list: "median is",
        sorts_the_samples_themselves: "the samples are changed",
        says_nan: "None: too few",
        forgets_a_name: "the names ['median', 'low', 'p99']",
    },
    "compare": {
        is_fooled: "interrupted now and then",
        warms_up_and_no_more: "interrupted now and then",
        warm_medians_one_after_the_other: "gets slower and slower",
        warm_turns_and_means: "interrupted now and then",
        cold_turns_and_medians: "calls are slow",
        warms_up_only_theirs: "calls are slow",
        upside_down: "1.25, to within",
        finds_everything_equal: "1.25, to within",
        gives_the_difference: "for two equal contestants",
        takes_the_best_of_each: "gets slower and slower",
        gives_all_the_ratios: "the result is ndarray",
        looks_at_one_only: "calls of both",
    },
}
