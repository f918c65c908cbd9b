"""What goes wrong in lesson 09."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Cost = Callable[[int], int]
Model = Callable[[Any], Any]


# window


def waits_for_a_full_batch(now: int, waiting: list[int], window: int, largest: int) -> int:
    return largest if len(waiting) >= largest else 0


def runs_whoever_is_there(now: int, waiting: list[int], window: int, largest: int) -> int:
    return min(len(waiting), largest)


def waits_out_the_window_although_full(now: int, waiting: list[int], window: int, largest: int) -> int:
    return min(len(waiting), largest) if now - waiting[0] >= window else 0


def counts_from_the_newest(now: int, waiting: list[int], window: int, largest: int) -> int:
    is_due = len(waiting) >= largest or now - waiting[-1] >= window
    return min(len(waiting), largest) if is_due else 0


def waits_a_moment_too_long(now: int, waiting: list[int], window: int, largest: int) -> int:
    is_due = len(waiting) >= largest or now - waiting[0] > window
    return min(len(waiting), largest) if is_due else 0


def takes_more_than_the_largest(now: int, waiting: list[int], window: int, largest: int) -> int:
    return len(waiting) if len(waiting) >= largest or now - waiting[0] >= window else 0


def runs_one_at_a_time(now: int, waiting: list[int], window: int, largest: int) -> int:
    return 1


def returns_the_requests(now: int, waiting: list[int], window: int, largest: int) -> list[int]:
    return waiting[:largest] if len(waiting) >= largest or now - waiting[0] >= window else []


# deadlines


def in_order(now: int, deadlines: list[float], cost: Cost) -> list[int]:
    hopeful = [n for n, deadline in enumerate(deadlines) if now + cost(1) <= deadline]
    return sorted(hopeful, key=lambda n: deadlines[n])


def that_fit(now: int, ordered: list[int], deadlines: list[float], cost: Cost, largest: int) -> list[int]:
    sizes = range(min(largest, len(ordered)), 0, -1)
    size = next((size for size in sizes if now + cost(size) <= deadlines[ordered[0]]), 0)
    return ordered[:size]


def first_come_first_served(now: int, deadlines: list[float], cost: Cost, largest: int) -> list[int]:
    hopeful = sorted(in_order(now, deadlines, cost))
    while hopeful and (len(hopeful) > largest or now + cost(len(hopeful)) > min(deadlines[n] for n in hopeful)):
        hopeful.pop()
    return hopeful


def works_for_the_hopeless(now: int, deadlines: list[float], cost: Cost, largest: int) -> list[int]:
    return sorted(range(len(deadlines)), key=lambda n: deadlines[n])[:largest]


def drops_only_who_is_late_already(now: int, deadlines: list[float], cost: Cost, largest: int) -> list[int]:
    hopeful = [n for n, deadline in enumerate(deadlines) if deadline > now]
    ordered = sorted(hopeful, key=lambda n: deadlines[n])
    return that_fit(now, ordered, deadlines, cost, largest) or ordered[:1]


def makes_the_urgent_late(now: int, deadlines: list[float], cost: Cost, largest: int) -> list[int]:
    return in_order(now, deadlines, cost)[:largest]


def looks_at_the_latest_deadline(now: int, deadlines: list[float], cost: Cost, largest: int) -> list[int]:
    ordered = in_order(now, deadlines, cost)[:largest]
    while ordered and now + cost(len(ordered)) > deadlines[ordered[-1]]:
        ordered.pop()
    return ordered


def forgets_the_largest(now: int, deadlines: list[float], cost: Cost, largest: int) -> list[int]:
    return that_fit(now, in_order(now, deadlines, cost), deadlines, cost, 99)


def takes_only_the_most_urgent(now: int, deadlines: list[float], cost: Cost, largest: int) -> list[int]:
    return in_order(now, deadlines, cost)[:1]


def drops_the_urgent_to_take_more(now: int, deadlines: list[float], cost: Cost, largest: int) -> list[int]:
    most = list(reversed(in_order(now, deadlines, cost)))[:largest]
    return [n for n in most if now + cost(len(most)) <= deadlines[n]] or most[:1]


def prefers_the_last_of_two_alike(now: int, deadlines: list[float], cost: Cost, largest: int) -> list[int]:
    ordered = sorted(in_order(now, deadlines, cost), key=lambda n: (deadlines[n], -n))
    return that_fit(now, ordered, deadlines, cost, largest)


def returns_deadlines(now: int, deadlines: list[float], cost: Cost, largest: int) -> list[float]:
    return [deadlines[n] + 0.5 for n in that_fit(now, in_order(now, deadlines, cost), deadlines, cost, largest)]


# rows


def one_after_the_other(model: Model, requests: list[np.ndarray], largest: int) -> list[np.ndarray]:
    return [model(rows) for rows in requests]


def planned(requests: list[np.ndarray], largest: int, kind_of: Callable[[np.ndarray], Any]) -> list[list[int]]:
    batches: list[list[int]] = []
    last: dict[Any, list[int]] = {}
    for position, rows in enumerate(requests):
        batch = last.get(kind_of(rows))
        if batch is None or sum(len(requests[n]) for n in batch) + len(rows) > largest:
            batch = last[kind_of(rows)] = []
            batches.append(batch)
        batch.append(position)
    return batches


def kind(rows: np.ndarray) -> Any:
    return rows.dtype, rows.shape[1:]


def cut(together: np.ndarray, parts: list[np.ndarray]) -> list[np.ndarray]:
    return np.split(together, np.cumsum([len(part) for part in parts])[:-1])


def answered(
    model: Model, requests: list[np.ndarray], largest: int, kind_of: Callable[[np.ndarray], Any]
) -> list[np.ndarray]:
    answers: dict[int, np.ndarray] = {}
    for batch in planned(requests, largest, kind_of):
        parts = [requests[n] for n in batch]
        answers |= dict(zip(batch, cut(model(np.concatenate(parts)), parts), strict=True))
    return [answers[n] for n in range(len(requests))]


def forgets_the_type(model: Model, requests: list[np.ndarray], largest: int) -> list[np.ndarray]:
    return answered(model, requests, largest, lambda rows: rows.shape[1:])


def flattens_what_has_as_many_numbers(model: Model, requests: list[np.ndarray], largest: int) -> list[np.ndarray]:
    flat = [rows.reshape(len(rows), -1) for rows in requests]
    return answered(model, flat, largest, kind)


def makes_everything_float(model: Model, requests: list[np.ndarray], largest: int) -> list[np.ndarray]:
    return answered(model, [rows.astype(np.float32) for rows in requests], largest, kind)


def fills_short_rows_with_zeros(model: Model, requests: list[np.ndarray], largest: int) -> list[np.ndarray]:
    flat = [rows.reshape(len(rows), -1) for rows in requests]
    wide = [np.pad(rows, ((0, 0), (0, 6 - rows.shape[1]))) for rows in flat]
    return answered(model, wide, largest, kind)


def counts_requests_instead_of_rows(model: Model, requests: list[np.ndarray], largest: int) -> list[np.ndarray]:
    answers: dict[int, np.ndarray] = {}
    for wanted in {kind(rows) for rows in requests}:
        mine = [n for n, rows in enumerate(requests) if kind(rows) == wanted]
        for start in range(0, len(mine), largest):
            batch = mine[start : start + largest]
            parts = [requests[n] for n in batch]
            answers |= dict(zip(batch, cut(model(np.concatenate(parts)), parts), strict=True))
    return [answers[n] for n in range(len(requests))]


def takes_a_request_for_a_row(model: Model, requests: list[np.ndarray], largest: int) -> list[np.ndarray]:
    answers: list[Any] = [None] * len(requests)
    for batch in planned(requests, largest, kind):
        together = model(np.concatenate([requests[n] for n in batch]))
        for position, own in zip(batch, together, strict=False):
            answers[position] = own[np.newaxis]
    return answers


def answers_in_the_order_of_the_calls(model: Model, requests: list[np.ndarray], largest: int) -> list[np.ndarray]:
    answers: list[np.ndarray] = []
    for batch in planned(requests, largest, kind):
        parts = [requests[n] for n in batch]
        answers += cut(model(np.concatenate(parts)), parts)
    return answers


def cuts_into_equal_parts(model: Model, requests: list[np.ndarray], largest: int) -> list[np.ndarray]:
    answers: list[Any] = [None] * len(requests)
    for batch in planned(requests, largest, kind):
        together = model(np.concatenate([requests[n] for n in batch]))
        for position, own in zip(batch, np.array_split(together, len(batch)), strict=True):
            answers[position] = own
    return answers


def spreads_a_request_over_two_calls(model: Model, requests: list[np.ndarray], largest: int) -> list[np.ndarray]:
    answers: dict[int, np.ndarray] = {}
    for wanted in {kind(rows) for rows in requests}:
        mine = [n for n, rows in enumerate(requests) if kind(rows) == wanted]
        parts = [requests[n] for n in mine]
        together = np.concatenate(parts)
        pieces = [model(together[start : start + largest]) for start in range(0, len(together), largest)]
        answers |= dict(zip(mine, cut(np.concatenate(pieces), parts), strict=True))
    return [answers[n] for n in range(len(requests))]


def returns_one_long_array(model: Model, requests: list[np.ndarray], largest: int) -> np.ndarray:
    return np.concatenate(answered(model, requests, largest, kind))


# culprit


def fails_everybody(model: Model, batch: list[int]) -> list[Any]:
    try:
        found: list[Any] = model(batch)
        return found
    except Exception as error:
        return [error] * len(batch)


def alone(model: Model, request: int) -> Any:
    try:
        return model([request])[0]
    except Exception as error:
        return error


def runs_them_one_by_one(model: Model, batch: list[int]) -> list[Any]:
    try:
        found: list[Any] = model(batch)
        return found
    except Exception:
        return [alone(model, request) for request in batch]


def never_batches(model: Model, batch: list[int]) -> list[Any]:
    return [alone(model, request) for request in batch]


def gives_up_on_half(model: Model, batch: list[int]) -> list[Any]:
    try:
        found: list[Any] = model(batch)
        return found
    except Exception as error:
        if len(batch) == 1:
            return [error]
    middle = len(batch) // 2
    return fails_everybody(model, batch[:middle]) + fails_everybody(model, batch[middle:])


def forgets_the_culprit(model: Model, batch: list[int]) -> list[Any]:
    try:
        found: list[Any] = model(batch)
        return found
    except Exception:
        if len(batch) == 1:
            return []
    middle = len(batch) // 2
    return forgets_the_culprit(model, batch[:middle]) + forgets_the_culprit(model, batch[middle:])


def returns_nothing_for_the_culprit(model: Model, batch: list[int]) -> list[Any]:
    return [None if isinstance(each, Exception) else each for each in halves(model, batch)]


def halves(model: Model, batch: list[int]) -> list[Any]:
    try:
        found: list[Any] = model(batch)
        return found
    except Exception as error:
        if len(batch) == 1:
            return [error]
    middle = len(batch) // 2
    return halves(model, batch[:middle]) + halves(model, batch[middle:])


def swaps_the_halves(model: Model, batch: list[int]) -> list[Any]:
    try:
        found: list[Any] = model(batch)
        return found
    except Exception as error:
        if len(batch) == 1:
            return [error]
    middle = len(batch) // 2
    return swaps_the_halves(model, batch[middle:]) + swaps_the_halves(model, batch[:middle])


def gives_the_culprit_the_error_of_the_batch(model: Model, batch: list[int]) -> list[Any]:
    try:
        found: list[Any] = model(batch)
        return found
    except Exception as error:
        return [error if isinstance(each, Exception) else each for each in halves(model, batch)]


def runs_the_healthy_again(model: Model, batch: list[int]) -> list[Any]:
    """Finds the culprits by halving, and then runs the others together."""
    found = halves(model, batch)
    healthy = iter(model([n for n, each in zip(batch, found, strict=True) if not isinstance(each, Exception)]))
    return [each if isinstance(each, Exception) else next(healthy) for each in found]


def believes_in_one_culprit(model: Model, batch: list[int]) -> list[Any]:
    """Takes the second half for healthy once the first one was not."""
    try:
        found: list[Any] = model(batch)
        return found
    except Exception as error:
        if len(batch) == 1:
            return [error]
    middle = len(batch) // 2
    first = believes_in_one_culprit(model, batch[:middle])
    if any(isinstance(each, Exception) for each in first):
        return first + fails_everybody(model, batch[middle:])
    return first + believes_in_one_culprit(model, batch[middle:])


# limit


def doubles(limit: int, rows: int, seconds: float, target: float, largest: int) -> int:
    if seconds > target:
        return max(1, limit * 3 // 4)
    return min(largest, limit * 2) if rows >= limit else limit


def never_shrinks(limit: int, rows: int, seconds: float, target: float, largest: int) -> int:
    return min(largest, limit + 1) if rows >= limit and seconds <= target else limit


def goes_down_by_one(limit: int, rows: int, seconds: float, target: float, largest: int) -> int:
    if seconds > target:
        return max(1, limit - 1)
    return min(largest, limit + 1) if rows >= limit else limit


def falls_to_zero(limit: int, rows: int, seconds: float, target: float, largest: int) -> int:
    if seconds > target:
        return limit * 3 // 4
    return min(largest, limit + 1) if rows >= limit else limit


def grows_on_any_evidence(limit: int, rows: int, seconds: float, target: float, largest: int) -> int:
    return max(1, limit * 3 // 4) if seconds > target else min(largest, limit + 1)


def grows_past_the_largest(limit: int, rows: int, seconds: float, target: float, largest: int) -> int:
    if seconds > target:
        return max(1, limit * 3 // 4)
    return limit + 1 if rows >= limit else limit


def returns_a_fraction(limit: int, rows: int, seconds: float, target: float, largest: int) -> float:
    if seconds > target:
        return max(1.0, limit * 0.75)
    return min(largest, limit + 1) if rows >= limit else limit


def rounds_up(limit: int, rows: int, seconds: float, target: float, largest: int) -> int:
    if seconds > target:
        return max(1, math.ceil(limit * 0.75))
    return min(largest, limit + 1) if rows >= limit else limit


def shrinks_from_the_rows(limit: int, rows: int, seconds: float, target: float, largest: int) -> int:
    if seconds > target:
        return max(1, rows * 3 // 4)
    return min(largest, limit + 1) if rows >= limit else limit


def is_strict_about_the_target(limit: int, rows: int, seconds: float, target: float, largest: int) -> int:
    if seconds >= target:
        return max(1, limit * 3 // 4)
    return min(largest, limit + 1) if rows >= limit else limit


def forgets_to_return(limit: int, rows: int, seconds: float, target: float, largest: int) -> None:
    limit = max(1, limit * 3 // 4) if seconds > target else limit


def wants_rows_exactly_at_the_limit(limit: int, rows: int, seconds: float, target: float, largest: int) -> int:
    if seconds > target:
        return max(1, limit * 3 // 4)
    return min(largest, limit + 1) if rows == limit else limit


Mistakes = dict[Any, str]

MISTAKES: dict[str, Mistakes] = {
    "window": {
        waits_for_a_full_batch: "since the oldest has waited",
        runs_whoever_is_there: "ms only, and the batch is not full",
        waits_out_the_window_although_full: "since a batch is full",
        counts_from_the_newest: "since the oldest has waited 8 ms",
        waits_a_moment_too_long: "since the oldest has waited 8 ms",
        takes_more_than_the_largest: "and holds no more",
        runs_one_at_a_time: "ms only, and the batch is not full",
        returns_the_requests: "the answer is list",
    },
    "deadlines": {
        first_come_first_served: "those with the earliest deadlines",
        works_for_the_hopeless: "late even if it ran alone",
        drops_only_who_is_late_already: "late even if it ran alone",
        makes_the_urgent_late: "before anyone in it is late",
        looks_at_the_latest_deadline: "before anyone in it is late",
        forgets_the_largest: "at most",
        takes_only_the_most_urgent: "as many as can go along",
        drops_the_urgent_to_take_more: "those with the earliest deadlines",
        prefers_the_last_of_two_alike: "of two alike the one that came first",
        returns_deadlines: "positions in the list",
    },
    "rows": {
        one_after_the_other: "whatever still fits",
        forgets_the_type: "which no request has",
        flattens_what_has_as_many_numbers: "not as they were sent",
        makes_everything_float: "not as they were sent",
        fills_short_rows_with_zeros: "not as they were sent",
        counts_requests_instead_of_rows: "unless they are of one request",
        takes_a_request_for_a_row: "an answer for each of its rows",
        answers_in_the_order_of_the_calls: "request",
        cuts_into_equal_parts: "an answer for each of its rows",
        spreads_a_request_over_two_calls: "spread over several calls",
        returns_one_long_array: "the result is ndarray",
    },
    "culprit": {
        fails_everybody: "for a good one",
        runs_them_one_by_one: "11 at most",
        never_batches: "1 at most",
        gives_up_on_half: "for a good one",
        forgets_the_culprit: "31 entries",
        returns_nothing_for_the_culprit: "None for a bad one",
        swaps_the_halves: "at its own place",
        gives_the_culprit_the_error_of_the_batch: "when it ran alone",
        runs_the_healthy_again: "after they had been answered",
        believes_in_one_culprit: "for a good one",
    },
    "limit": {
        doubles: "a full batch in time",
        never_shrinks: "a batch that was late",
        goes_down_by_one: "a batch that was late",
        falls_to_zero: "a lone row that was late",
        grows_on_any_evidence: "that was not full",
        grows_past_the_largest: "at the largest size of all",
        returns_a_fraction: "the new limit is float",
        rounds_up: "a batch that was late",
        shrinks_from_the_rows: "though it was not full",
        is_strict_about_the_target: "just as long as it may",
        forgets_to_return: "the new limit is NoneType",
        wants_rows_exactly_at_the_limit: "more rows than the limit",
    },
}
