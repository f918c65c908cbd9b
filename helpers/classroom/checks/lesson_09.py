"""Lesson 09, Adaptive batching: five decisions of a batching server.

No clock runs in any of them. Times are whole milliseconds that the checks make up, models
note how they are called, and what is expected follows from the rules of the exercise, worked
out here in another way than the solution does.
"""

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from helpers.classroom.checking import Attempt, task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@task(
    "window",
    title="Decide whether those who wait run now, or wait on",
    hints=[
        "Two questions decide: is the batch full, and has the oldest waited long enough? If either holds, they run.",
        "The oldest came at waiting[0], and has waited for the time between then and now. Full means that largest "
        "or more are there, and then it does not matter how long anyone has waited.",
        "If len(waiting) >= largest or now - waiting[0] >= window, return the smaller of len(waiting) and largest; "
        "else return 0.",
    ],
    learned="A decision that gets the time as an argument can be replayed: no clock, no waiting, always alike.",
)
def window(attempt: Attempt) -> None:
    for wait, largest in ((8, 4), (0, 8), (5, 1), (20, 8), (3, 5)):
        _replay(attempt, _recording(attempt), wait, largest)


@task(
    "deadlines",
    title="Choose by deadline who runs now, so that nobody is late for company",
    hints=[
        "Three steps: leave out who cannot be helped, put the others in order, and see how many may go together.",
        "Alone means a batch of one: it ends at now + cost(1). In order means by deadline, and sorted keeps those "
        "that are alike in the order in which they came. The first in that order has the earliest deadline of all.",
        "Sort the positions n with now + cost(1) <= deadlines[n] by their deadline. Then take the first k of them, "
        "with the largest k for which k <= largest and now + cost(k) is not after the deadline of the first.",
    ],
    learned="Company must not make the most urgent caller late, and an answer that comes too late is work for nobody.",
)
def deadlines(attempt: Attempt) -> None:
    rng = attempt.rng
    for _ in range(60):
        now = int(rng.integers(0, 1000))
        costs = [0, *(int(c) for c in rng.integers(3, 8) + rng.integers(0, 4, 12).cumsum())]
        waiting: list[float] = [now + int(patience) for patience in rng.integers(-3, 40, int(rng.integers(1, 9)))]
        if rng.random() < 0.5:  # several with all the time in the world, and two who are alike
            waiting += [math.inf, waiting[0], math.inf]
            rng.shuffle(waiting)
        waiting = [each if each == math.inf else int(each) for each in waiting]
        _expect_chosen(attempt, now, waiting, costs, int(rng.integers(1, 6)))


@task(
    "rows",
    title="Put requests together by kind, count rows, and give each caller its own answers",
    hints=[
        "Remember for each call which requests are in it and how many rows each of them brought. What was joined is "
        "cut apart by the same numbers.",
        "A dictionary from kind, (rows.dtype, rows.shape[1:]), to the positions of the requests in that kind's last "
        "call tells where the next one may go along. np.concatenate joins; np.split cuts at np.cumsum of the counts.",
        "First plan: for each position, take the last call of its kind, or begin a new one if there is none or the "
        "rows would be more than largest. Then for each call: concatenate, run the model, split at the ends of all "
        "requests but the last, and put each part where its request stands.",
    ],
    learned="A request is not a row. Group by kind, count rows, cut by count: then nobody gets another's answer.",
)
def rows(attempt: Attempt) -> None:
    for largest in (8, 6, 16, 5):
        requests = _requests(attempt, largest)
        model = _RowModel()
        given = attempt.call(model, [each.copy() for each in requests], largest)
        _expect_calls_of_one_kind(attempt, model, requests, largest)
        attempt.expect_type(given, (list, tuple), "the result")
        attempt.expect(
            len(given) == len(requests), f"{len(given)} answers to {len(requests)} requests", "one for each request"
        )
        for position, (asked, own) in enumerate(zip(requests, given, strict=True)):
            _expect_own_answer(attempt, position, asked, own)
        most = _calls_needed(requests, largest)
        attempt.expect(
            len(model.calls) <= most,
            f"{len(model.calls)} calls of the model for {len(requests)} requests with at most {largest} rows in a call",
            f"no more than {most}: whatever still fits into the last call of its kind goes along",
        )


@task(
    "culprit",
    title="Find who broke a batch with few calls, and spare everyone else",
    hints=[
        "If a batch raises, you know that something in it is bad, and not what. Which batches tell you most?",
        "Cut it in halves and treat each half as you treated the whole. A batch of one that raises is a culprit. "
        "The function can call itself.",
        "try: return model(batch). In except: if there is one request, return a list with the exception; else "
        "return what run_all says to the first half, plus what it says to the second.",
    ],
    learned="Halving costs one culprit a handful of calls, and its neighbours nothing but a little time.",
)
def culprit(attempt: Attempt) -> None:
    rng = attempt.rng
    for count, bad in ((8, 0), (1, 0), (32, 1), (1, 1), (13, 1), (16, 2), (5, 5), (24, 3)):
        numbers = [int(number) for number in rng.permutation(1000)[:count]]
        at = rng.permutation(count)[:bad]
        _expect_spared(attempt, numbers, {numbers[place] for place in at})
    for place in (0, 31):
        numbers = [int(number) for number in rng.permutation(1000)[:32]]
        _expect_spared(attempt, numbers, {numbers[place]})
    _expect_spared(attempt, list(range(100, 116)), set(), room=5)


@task(
    "limit",
    title="Learn how large a batch may be: up by one, down by a quarter",
    hints=[
        "Look at the time first. Only a batch that was in time can say something about larger ones.",
        "In time means no longer than the target. Full means that the batch had as many rows as the limit allows, or "
        "more. Rounded down, three quarters of 1 would be 0.",
        "If seconds > target, return limit * 3 // 4, but at least 1. Else, if rows >= limit, return limit + 1, but at "
        "most largest. Else return what it was.",
    ],
    learned="Up by one, down by a share: it finds the size for any machine, and finds it again when that changes.",
)
def limit(attempt: Attempt) -> None:
    largest, target = 32, 0.02
    cases = [
        (16, 16, 0.03, "a batch that was late"),
        (16, 5, 0.03, "a batch that was late, though it was not full"),
        (1, 1, 0.5, "a lone row that was late"),
        (2, 2, 0.03, "a batch that was late"),
        (11, 11, 0.021, "a batch that was late"),
        (12, 12, 0.01, "a full batch in time"),
        (12, 12, 0.02, "a full batch that took just as long as it may"),
        (12, 11, 0.01, "a batch in time that was not full"),
        (12, 40, 0.015, "a request of more rows than the limit, alone and in time"),
        (32, 32, 0.01, "a full batch in time, at the largest size of all"),
    ]
    for before, count, seconds, what in cases:
        _expect_limit(attempt, before, count, seconds, target, largest, what)
    for _ in range(40):
        target, largest = float(attempt.rng.uniform(0.005, 0.1)), int(attempt.rng.integers(2, 65))
        before = int(attempt.rng.integers(1, largest + 1))
        count = int(attempt.rng.integers(1, before + 1))
        seconds = target * float(attempt.rng.choice([0.3, 0.9, 1.1, 3.0]))
        _expect_limit(attempt, before, count, seconds, target, largest, "one of many tries")


# window


def _recording(attempt: Attempt) -> list[int]:
    """Arrivals in whole milliseconds: a quiet spell, a burst, a quiet spell."""
    rng, np = attempt.rng, _numpy()
    gaps = np.concatenate([rng.integers(5, 40, 6), rng.integers(0, 3, 30), rng.integers(5, 40, 6)])
    return [int(time) for time in gaps.cumsum()]


def _replay(attempt: Attempt, arrivals: Sequence[int], wait: int, largest: int) -> None:
    """Ask the learner's function at each moment at which something could begin; stop at the first difference."""
    events = [*arrivals, *(time + wait for time in arrivals)]
    heapq.heapify(events)
    coming, waiting, free_at = list(arrivals), [], -1
    while events:
        now = heapq.heappop(events)
        while coming and coming[0] <= now:
            waiting.append(coming.pop(0))
        if now < free_at or not waiting:
            continue
        given = attempt.call(now, list(waiting), wait, largest)
        _expect_whole(attempt, given, "the answer")
        wanted, why = _decision(now, waiting, wait, largest)
        when = f"at {now} ms, with arrivals at {', '.join(map(str, waiting))} ms"
        attempt.expect(
            given == wanted, f"{when}, a window of {wait} ms and at most {largest}: {given}", f"{wanted}, since {why}"
        )
        if wanted:
            del waiting[:wanted]
            free_at = now + 4 + wanted
            heapq.heappush(events, free_at)


def _decision(now: int, waiting: Sequence[int], wait: int, largest: int) -> tuple[int, str]:
    """What the rules of the exercise say, and which of them says it."""
    waited = now - min(waiting)
    if len(waiting) >= largest:
        return largest, "a batch is full, and holds no more"
    if waited >= wait:
        return len(waiting), f"the oldest has waited {waited} ms"
    return 0, f"the oldest has waited {waited} ms only, and the batch is not full"


# deadlines


def _expect_chosen(attempt: Attempt, now: int, waiting: list[float], costs: list[int], largest: int) -> None:
    def cost(rows: int) -> int:
        return costs[min(max(int(rows), 0), len(costs) - 1)]

    given = attempt.call(now, list(waiting), cost, largest)
    attempt.expect_type(given, (list, tuple, _numpy().ndarray), "the result")
    numbers = (int, _numpy().integer)
    where = f"now {now}, deadlines {waiting}, at most {largest}; 1 to 4 rows take {costs[1:5]}: {list(given)}"
    are_positions = all(isinstance(n, numbers) and 0 <= n < len(waiting) for n in given)
    attempt.expect(are_positions, where, "positions in the list of deadlines")
    chosen = sorted(int(n) for n in given)
    attempt.expect(len(set(chosen)) == len(chosen), where, "each position once")
    hopeless = [n for n in chosen if waiting[n] < now + cost(1)]
    attempt.expect(not hopeless, where, "nobody whose answer would be late even if it ran alone")
    attempt.expect(len(chosen) <= largest, where, f"a batch of {largest} at most")
    in_order = sorted((each, n) for n, each in enumerate(waiting) if each >= now + cost(1))
    first = [n for _, n in in_order[: len(chosen)]]
    ends = now + cost(len(chosen))
    attempt.expect(
        all(waiting[n] >= ends for n in chosen), where, f"a batch that ends (at {ends}) before anyone in it is late"
    )
    attempt.expect(
        chosen == sorted(first), where, "those with the earliest deadlines, and of two alike the one that came first"
    )
    more = len(chosen) + 1
    fits = len(in_order) >= more and more <= largest and now + cost(more) <= in_order[0][0]
    attempt.expect(not fits, where, "as many as can go along without making anyone late")


# rows


class _RowModel:
    """Answers each row with its first number and its sum, and notes how it was called."""

    def __init__(self) -> None:
        self.calls: list[Array] = []

    def __call__(self, rows: "Array") -> "Array":
        np = _numpy()
        rows = np.asarray(rows)
        self.calls.append(rows.copy())
        return _row_answers(rows)


def _row_answers(rows: "Array") -> "Array":
    flat = rows.reshape(len(rows), -1).astype("float64")
    answers: Array = _numpy().column_stack([flat[:, 0], flat.sum(1)])
    return answers


def _requests(attempt: Attempt, largest: int) -> list["Array"]:
    """Requests of four kinds that differ in little, one to four rows each, and one that must go alone."""
    rng, np = attempt.rng, _numpy()
    kinds = [("float32", (4,)), ("int64", (4,)), ("float32", (6,)), ("float32", (2, 2))]
    sizes = [int(size) for size in rng.integers(1, 5, 20)] + [largest + 3]
    rng.shuffle(sizes)
    identity, made = 1, []
    for size in sizes:
        dtype, shape = kinds[int(rng.choice(4, p=[0.4, 0.2, 0.2, 0.2]))]
        rows = rng.integers(0, 50, (size, *shape)).astype(dtype)
        rows.reshape(size, -1)[:, 0] = np.arange(identity, identity + size)  # by this each row is known
        identity += size
        made.append(rows)
    return made


def _kind(rows: "Array") -> tuple[str, tuple[int, ...]]:
    return str(rows.dtype), rows.shape[1:]


def _identities(rows: "Array") -> list[int]:
    return [int(number) for number in rows.reshape(len(rows), -1)[:, 0]] if rows.size else []


def _expect_calls_of_one_kind(attempt: Attempt, model: _RowModel, requests: list["Array"], largest: int) -> None:
    kinds = {_kind(each) for each in requests}
    owner = {identity: n for n, each in enumerate(requests) for identity in _identities(each)}
    runs: Counter[int] = Counter()
    calls_of: dict[int, set[int]] = {n: set() for n in range(len(requests))}
    for number, call in enumerate(model.calls):
        attempt.expect(
            _kind(call) in kinds,
            f"a call with rows of type {call.dtype} and shape {call.shape[1:]}, which no request has",
            "rows as their callers sent them, those of one type and shape together",
        )
        found = _identities(call)
        known = all(identity in owner and _kind(requests[owner[identity]]) == _kind(call) for identity in found)
        attempt.expect(
            known,
            f"a call with {call.dtype} rows of shape {call.shape[1:]} among which some are not as they were sent",
            "only requests of one type and one shape of a row in a call",
        )
        owners = {owner[identity] for identity in found}
        attempt.expect(
            len(call) <= largest or len(owners) == 1,
            f"a call with {len(call)} rows of {len(owners)} requests",
            f"at most {largest} rows in a call, unless they are of one request that goes alone",
        )
        runs.update(found)
        for each in owners:
            calls_of[each].add(number)
    twice = [identity for identity, times in runs.items() if times > 1]
    attempt.expect(not twice, f"{len(twice)} rows were run more than once", "each row in one call")
    spread = [n for n, calls in calls_of.items() if len(calls) > 1]
    attempt.expect(
        not spread,
        f"the rows of request {spread[0] if spread else 0} are spread over several calls",
        "all rows of one request in one call",
    )


def _expect_own_answer(attempt: Attempt, position: int, asked: "Array", own: Any) -> None:
    np = _numpy()
    wanted = _row_answers(asked)
    attempt.expect(own is not None, f"nothing for request {position}", "an answer for each request")
    given = np.asarray(own)
    attempt.expect(
        given.shape == wanted.shape,
        f"request {position} has {len(asked)} rows, and its answer the shape {given.shape}",
        f"the shape {wanted.shape}: an answer for each of its rows, and no others",
    )
    attempt.expect(
        np.array_equal(given, wanted),
        f"request {position} got something else than the model says to its rows",
        "each caller's own answers, in the order of the requests",
    )


def _calls_needed(requests: list["Array"], largest: int) -> int:
    """The calls if each request goes into the last call of its kind while it fits."""
    calls = 0
    for kind in {_kind(each) for each in requests}:
        room = 0
        for size in (len(each) for each in requests if _kind(each) == kind):
            if size > room:
                calls, room = calls + 1, largest
            room -= size
    return calls


# culprit


class _Fragile:
    """Raises if anything in the batch is bad, or if there is more than it has room for; notes what became of each."""

    def __init__(self, bad: set[int], room: float) -> None:
        self.bad, self.room = bad, room
        self.calls = 0
        self.answered: Counter[int] = Counter()
        self.alone: dict[int, Exception] = {}

    def __call__(self, batch: Sequence[int]) -> list[int]:
        self.calls += 1
        batch = list(batch)
        if len(batch) > self.room:
            raise MemoryError(f"{len(batch)} together are too many")
        if not self.bad.isdisjoint(batch):
            error = ValueError(f"something is bad among these {len(batch)}")
            if len(batch) == 1:
                self.alone[batch[0]] = error
            raise error
        self.answered.update(batch)
        return [_fragile_answer(number) for number in batch]


def _fragile_answer(number: int) -> int:
    return 7 * number + 1


def _expect_spared(attempt: Attempt, numbers: list[int], bad: set[int], room: float = math.inf) -> None:
    model = _Fragile(bad, room)
    given = attempt.call(model, list(numbers))
    what = f"{len(numbers)} requests, {len(bad)} of them bad" + (f", room for {room}" if room < math.inf else "")
    attempt.expect_type(given, (list, tuple), "the result")
    attempt.expect(
        len(given) == len(numbers), f"{what}: {len(given)} entries", "one entry for each request, answered or not"
    )
    for place, (number, found) in enumerate(zip(numbers, given, strict=True)):
        if number in bad:
            attempt.expect(
                isinstance(found, Exception), f"{what}: {found!r} for a bad one, at {place}", "its exception"
            )
            attempt.expect(
                found is model.alone.get(number),
                f"{what}: the bad one at {place} got the exception {str(found)!r}",
                "the exception that it raised when it ran alone",
            )
        else:
            attempt.expect(
                found == _fragile_answer(number),
                f"{what}: {found!r} for a good one, at {place}",
                "its own answer, at its own place",
            )
    again = [number for number, times in model.answered.items() if times > 1]
    attempt.expect(not again, f"{what}: {len(again)} were run again after they had been answered", "each answered once")
    halvings = math.ceil(math.log2(len(numbers))) if len(numbers) > 1 else 0
    most = 1 + 2 * max(len(bad), 3 if room < len(numbers) else 0) * halvings
    most = min(most, max(1, 2 * len(numbers) - 1))
    attempt.expect(model.calls <= most, f"{what}: {model.calls} calls of the model", f"{most} at most")


# limit


def _expect_limit(
    attempt: Attempt, before: int, count: int, seconds: float, target: float, largest: int, what: str
) -> None:
    given = attempt.call(before, count, seconds, target, largest)
    _expect_whole(attempt, given, "the new limit")
    in_time = min(largest, before + (count >= before))
    wanted = in_time if seconds <= target else max(1, math.floor(before * 0.75))
    attempt.expect(
        given == wanted,
        f"{what} (limit {before}, rows {count}, {1e3 * seconds:.1f} ms of {1e3 * target:.1f}, "
        f"largest {largest}): {given}",
        f"{wanted}",
    )


def _expect_whole(attempt: Attempt, value: Any, called: str) -> None:
    is_whole = isinstance(value, (int, _numpy().integer))
    attempt.expect(is_whole, f"{called} is {type(value).__name__} {str(value)[:60]}", "a whole number")


def _numpy() -> Any:
    import numpy

    return numpy
