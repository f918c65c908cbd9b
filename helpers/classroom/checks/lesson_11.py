"""Lesson 11, Composition: five tasks, from two services in a row to an answer that survives a lost member.

What the learner composes is really served, around members of the check's own that keep a
diary. Whether two ran at once is not told by a clock: each waits until it has met the other.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from helpers.classroom.checking import Attempt, LearnerRaised, NotYet, _learner_line, task
from helpers.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from helpers.serving import Client

    Numbers = NDArray[np.float64]

MEETING_SECONDS = 1.5  # members that are asked at once meet in a few milliseconds
CALLER_SECONDS = 2.5
PATIENCE = 0.4
AFTERWARDS_SECONDS = 1.0  # for what is given up to notice it
NAMES = ("first", "second", "third")
PIXELS = 64


class Planted(Exception):
    """What a member of the check raises."""


@dataclass
class Diary:
    """What happened to the members, in order."""

    lines: list[str] = field(default_factory=list)

    def count(self, line: str) -> int:
        return self.lines.count(line)


@task(
    "sequence",
    title="Ask one service after the other",
    hints=[
        "depends(Prepare) in the body of the class gives a handle. Its methods are those of Prepare, to be awaited.",
        "The API is an async method. Await self.prepare.cut(...), and give what comes back to the model.",
        "pixels = await self.prepare.cut(sheet), then chances = await self.model.classify(pixels), and return "
        "the place of the largest chance in each row.",
    ],
    learned="A service that asks others is an ordinary class: depends in its body, await in its method.",
)
def sequence(attempt: Attempt) -> None:
    import numpy as np

    random, diary = attempt.rng, Diary()
    order, weights = random.permutation(PIXELS), random.normal(size=(PIXELS, 10)).astype(np.float32)

    def cut(sheet: Any) -> Any:
        cells = sheet.reshape(len(sheet) // 8, 8, -1, 8).swapaxes(1, 2).reshape(-1, PIXELS)
        return (255 - cells[:, order]).astype(np.float32) / 255

    def classify(pixels: Any) -> Any:
        return _softmax(pixels @ weights)

    made = _composed(attempt, "read", _preparing(diary, cut), _classifying(diary, classify))
    with _served(attempt, made) as ask:
        for asked, (lines, columns) in enumerate(((1, 1), (2, 5), (4, 3)), start=1):
            sheet = random.integers(0, 256, (8 * lines, 8 * columns), dtype=np.uint8)
            told = ask.answer("read", sheet=sheet)
            wanted = classify(cut(sheet)).argmax(1).tolist()
            attempt.expect_type(told, list, "the answer")
            attempt.expect(
                told == wanted,
                f"{str(told)[:100]} for a sheet of {lines * columns} digits, which the model calls {wanted}",
                "the digit with the largest chance, for each digit of the sheet",
            )
            for step in ("cut", "classify"):
                attempt.expect(
                    diary.count(step) == asked,
                    f"{step} was called {diary.count(step)} times for {asked} requests",
                    "one call for a whole sheet, through the handle",
                )
    for name in ("Prepare", "Model"):
        attempt.expect(
            diary.count(f"{name} is made") == 1,
            f"{name} was made {diary.count(f'{name} is made')} times",
            "the one that the server makes, by way of depends",
        )


@task(
    "at_once",
    title="Ask two services at once",
    hints=[
        "A call to a handle gives something to await. It does not begin before someone awaits it.",
        "asyncio.gather awaits several, lets all of them begin, and gives their results in order.",
        "one, other = await asyncio.gather(self.first.classify(pixels), self.second.classify(pixels)), and then "
        "half of their sum.",
    ],
    learned="Calling a handle starts nothing; gather starts all, and the answer waits for the slowest.",
)
def at_once(attempt: Attempt) -> None:
    import numpy as np

    random, diary = attempt.rng, Diary()
    given = {name: _chances(random, 6) for name in NAMES[:2]}
    meeting = Meeting(2)

    def member(name: str) -> type:
        async def behave(pixels: Any) -> Any:
            diary.lines.append(name)
            await meeting.all_here()
            return given[name][: len(pixels)].astype(np.float32)

        return _member(name, behave)

    made = _composed(attempt, "classify", member("first"), member("second"))
    with _served(attempt, made) as ask:
        for asked, rows in enumerate((6, 4), start=1):
            meeting.begin_anew()
            told = ask.answer("classify", pixels=_pixels(random, rows))
            for name in NAMES[:2]:
                called = diary.count(name)
                attempt.expect(
                    called == asked, f"the {name} one was asked {called} times for {asked} requests", "one call to each"
                )
            attempt.expect(
                not meeting.missed,
                "while the one that was asked first was at work, nobody asked the other",
                "both asked before either has answered",
            )
            _expect_chances(attempt, told, (given["first"][:rows] + given["second"][:rows]) / 2, "the mean of both")


@task(
    "vote",
    title="Count votes, and let the average decide ties",
    hints=[
        "First the ballot: for each row, how many members name each digit as their most likely?",
        "A tie is decided among the digits that have the most votes, and by no others. What could be added to the "
        "counts that is too small to turn a vote, and large enough to turn a tie?",
        "np.eye(10)[member.argmax(1)] has a one where the member votes. Sum that over the members, add the average "
        "of the chances times a half, and take argmax(1).",
    ],
    learned="A vote needs a rule for ties, and argmax has one that nobody chose: the smallest digit.",
)
def vote(attempt: Attempt) -> None:
    import numpy as np

    random = attempt.rng
    for members in (3, 4, 5):
        chances = _ballots(random, members)
        kept = [each.copy() for each in chances]
        told = attempt.call(chances)
        attempt.expect(
            all(np.array_equal(each, before) for each, before in zip(chances, kept, strict=True)),
            "the members' chances were changed",
            "that they stay as they were given",
        )
        try:
            labels = np.asarray(told)
        except (TypeError, ValueError):
            raise NotYet(f"a {type(told).__name__}", "an array with a label for each row") from None
        attempt.expect(
            labels.shape == (len(chances[0]),) and labels.dtype.kind in "iuf",
            f"{labels.dtype} of shape {labels.shape} for {len(chances[0])} rows",
            "one number for each row",
        )
        for row, label in enumerate(labels):
            named = [int(each[row].argmax()) for each in chances]
            wanted = _elected(named, np.mean([each[row] for each in chances], axis=0))
            counts = sorted((named.count(digit) for digit in set(named)), reverse=True)
            tied = len(counts) > 1 and counts[0] == counts[1]
            attempt.expect(
                label == wanted,
                f"{label} where the members named {named}" + (", which is a tie" if tied else ""),
                "among those with the most votes, the one with the largest average chance"
                if tied
                else "the digit that most members name, whatever their chances are",
            )


@task(
    "survives",
    title="Answer without a member that fails or is late",
    hints=[
        "Two things are needed: gather must not raise when a member does, and each call needs a limit of its own.",
        "gather(..., return_exceptions=True) gives exceptions in the place of results. async with asyncio.timeout("
        "patience) around a single call makes lateness an exception.",
        "Write async def ask(member) with the timeout in it, gather ask(...) of all three, keep what is no exception, "
        "raise EngineError('unavailable', ...) if that is fewer than needed, and average the rest.",
    ],
    learned="Each member has a limit of its own, some number of them makes an answer, and the answer says who took "
    "part.",
)
def survives(attempt: Attempt) -> None:
    random = attempt.rng
    one, two = (int(place) for place in random.permutation(3)[:2])
    cases = {
        "all are well": {},
        "one breaks": {one: "breaks"},
        "one is overloaded": {two: "is overloaded"},
        "one never answers": {two: "hangs"},
        "two never answer": {one: "hangs", two: "hangs"},
        "one breaks, one never answers": {one: "breaks", two: "hangs"},
    }
    for case, fates in cases.items():
        _survives_one(attempt, case, [fates.get(place, "is well") for place in range(3)])


def _survives_one(attempt: Attempt, case: str, fates: list[str]) -> None:
    import numpy as np

    from helpers.engine import EngineError

    random, meeting, needed = attempt.rng, Meeting(3), 2
    given = {name: _chances(random, 3) for name in NAMES}
    given_up = {name: threading.Event() for name, fate in zip(NAMES, fates, strict=True) if fate == "hangs"}

    def member(name: str, fate: str) -> type:
        async def behave(pixels: Any) -> Any:
            await meeting.all_here()
            if fate == "breaks":
                raise Planted(f"{name} breaks")
            if fate == "is overloaded":
                raise EngineError("overloaded", f"{name} is overloaded", retry_after=1.0)
            if fate == "hangs":
                try:
                    await asyncio.Event().wait()
                finally:
                    given_up[name].set()
            return given[name].astype(np.float32)

        return _member(name, behave)

    members = [member(name, fate) for name, fate in zip(NAMES, fates, strict=True)]
    made = _composed(attempt, "classify", *members, needed, PATIENCE)
    well = [name for name, fate in zip(NAMES, fates, strict=True) if fate == "is well"]
    with _served(attempt, made) as ask:
        status, told = ask.ask("classify", pixels=_pixels(random, 3))
        nobody_runs_on = all(each.wait(AFTERWARDS_SECONDS) for each in given_up.values())
    attempt.expect(
        not meeting.missed,
        "the members are asked one after the other, so that patience is added to patience",
        "all three asked before any of them has answered",
    )
    said = f"{case}: the caller gets {status} {str(told)[:160]}"
    if len(well) < needed:
        attempt.expect(
            status == 503,
            said,
            f"a refusal as unavailable (503), since {len(well)} of 3 answered and {needed} must",
        )
        attempt.expect(nobody_runs_on, f"{case}: the late one runs on", "that nobody works after the answer is given")
        return
    attempt.expect(status == 200, said, "an answer from those who are well, within the patience that was given")
    attempt.expect(isinstance(told, dict), said, "a dictionary")
    for key in ("probabilities", "took_part"):
        attempt.expect(key in told, f"{case}: an answer without {key}: {sorted(told)}", f"{key} in the answer")
    attempt.expect(
        told["took_part"] == well, f"{case}: took_part is {told['took_part']}", "the names of those who answered"
    )
    wanted = np.mean([given[name] for name in well], axis=0)
    _expect_chances(attempt, told["probabilities"], wanted, f"{case}: the mean of {', '.join(well)}")
    attempt.expect(nobody_runs_on, f"{case}: the late one runs on", "that nobody works after the answer is given")


@task(
    "patience",
    title="Share what is left of the caller's time",
    hints=[
        "How much is left is the deadline less now. Both are readings of the same clock, and `now` is given to you.",
        "The smaller of two numbers wins: your own limit, and four fifths of what is left.",
        "left = deadline - now; raise EngineError('deadline_exceeded', ...) unless left is above zero; then "
        "min(own, 0.8 * left), which is right for an infinite deadline too.",
    ],
    learned="A layer that waits as long as its caller never gets to use what it has.",
)
def patience(attempt: Attempt) -> None:
    import math

    from helpers.engine import EngineError

    random = attempt.rng
    own = float(random.uniform(1.0, 2.0))
    for left in (0.05, 0.5, own, 1.2 * own, 4 * own, math.inf):
        now = float(random.uniform(1e3, 1e6))  # a monotonic clock begins anywhere
        deadline = now + left
        told = attempt.call(deadline, now, own)
        attempt.expect(
            isinstance(told, int | float) and not isinstance(told, bool), f"the result is {told!r}"[:120], "seconds"
        )
        wanted = min(own, 0.8 * left)
        attempt.expect(
            abs(told - wanted) < 1e-6,
            f"{told:.3f} s where the caller has {left:.3f} s left and the limit of one's own is {own:.3f} s",
            "one's own limit, or four fifths of what is left if that is less",
        )
    for left in (0.0, -0.5):
        now = float(random.uniform(1e3, 1e6))

        def with_nothing_left(now: float = now, left: float = left) -> Any:
            try:
                return attempt.answer(now + left, now, own)
            except EngineError as error:
                return error

        told = attempt.call_other(with_nothing_left)
        attempt.expect(
            isinstance(told, EngineError), f"{told!r} where {left} s are left"[:120], "an EngineError: it is too late"
        )
        attempt.expect(told.code == "deadline_exceeded", f"the code {told.code}", "the code for a deadline")


# The check's own members


class Meeting:
    """Where members wait for each other; on the server's loop."""

    def __init__(self, members: int) -> None:
        self.members = members
        self.begin_anew()

    def begin_anew(self) -> None:
        self.here = 0
        self.missed = False  # somebody waited in vain, or was given up before all had come
        self.complete = asyncio.Event()

    async def all_here(self) -> None:
        """Wait until all have come, but not for ever."""
        self.here += 1
        if self.here >= self.members:
            self.complete.set()
        try:
            async with asyncio.timeout(MEETING_SECONDS):
                await self.complete.wait()
        except TimeoutError:
            pass
        finally:
            self.missed = self.missed or not self.complete.is_set()


def _member(name: str, behave: Callable[[Any], Awaitable[Any]]) -> type:
    """A service with one API, classify."""
    from helpers.engine import Tensor, api, service

    async def classify(self: object, pixels: Any) -> Any:
        return await behave(pixels)

    classify.__annotations__ = {
        "pixels": Tensor["float32", "digits", PIXELS],
        "return": Tensor["float32", "digits", 10],
    }
    made: type = service(name=name)(type(name, (), {"classify": api(classify)}))
    return made


def _classifying(diary: Diary, model: Callable[[Any], Any]) -> type:
    from helpers.engine import Tensor, api, service

    def classify(self: object, pixels: Any) -> Any:
        diary.lines.append("classify")
        return model(pixels)

    classify.__annotations__ = {
        "pixels": Tensor["float32", "digits", PIXELS],
        "return": Tensor["float32", "digits", 10],
    }
    made: type = service(type("Model", (), {"__init__": _noting(diary, "Model"), "classify": api(classify)}))
    return made


def _preparing(diary: Diary, work: Callable[[Any], Any]) -> type:
    from helpers.engine import Tensor, api, service

    def cut(self: object, sheet: Any) -> Any:
        diary.lines.append("cut")
        return work(sheet)

    cut.__annotations__ = {
        "sheet": Tensor["uint8", "height", "width"],
        "return": Tensor["float32", "digits", PIXELS],
    }
    made: type = service(type("Prepare", (), {"__init__": _noting(diary, "Prepare"), "cut": api(cut)}))
    return made


def _noting(diary: Diary, name: str) -> Callable[[object], None]:
    def __init__(self: object) -> None:  # noqa: N807
        diary.lines.append(f"{name} is made")

    return __init__


# The learner's service, served and asked


class Asking:
    """Asks a served service, and tells what is the learner's affair."""

    def __init__(self, attempt: Attempt, client: "Client", raised: list[BaseException]) -> None:
        self.attempt, self.client, self.raised = attempt, client, raised

    def ask(self, api: str, **values: Any) -> tuple[int, Any]:
        """The status, and what was told."""
        from helpers.wire.native import to_json

        headers = {"content-type": "application/json", "x-timeout-seconds": str(CALLER_SECONDS)}
        self.raised.clear()
        answer = self.client.http.post(f"/{api}", content=to_json(values), headers=headers)
        if answer.status_code == 500 and self.raised:
            error = self.raised[-1]
            if isinstance(error, Planted | TimeoutError):  # a member's fate, which should not have come through
                return 500, f"({type(error).__name__} {error})".replace(" )", ")")
            raise LearnerRaised(error, _learner_line(error.__traceback__, self.attempt.answer)) from error
        if answer.status_code == 422:
            names = " and ".join(values)
            raise NotYet(f"{api} does not take {names}: {answer.json()['error'][:160]}", f"the parameter {names}")
        return answer.status_code, answer.json()

    def answer(self, api: str, **values: Any) -> Any:
        """What was told, where nothing but an answer will do."""
        status, told = self.ask(api, **values)
        self.attempt.expect(status == 200, f"the caller gets {status} {str(told)[:160]}", "an answer")
        return told


def _composed(attempt: Attempt, api: str, *given: Any) -> type:
    """The service that the learner makes of members."""
    from helpers.engine.service import spec_of

    made = attempt.call(*given)
    spec = spec_of(made)
    if spec is None:
        raise NotYet(f"what comes back is {type(made).__name__} {made!r}"[:120], "a class that is a @service")
    there_are = ", ".join(spec.apis)
    attempt.expect(api in spec.apis, f"a service whose APIs are {there_are}", f"an API called {api}")
    assert isinstance(made, type)
    return made


@contextlib.contextmanager
def _served(attempt: Attempt, made: type) -> Iterator[Asking]:
    from helpers.serving import serve

    with contextlib.ExitStack() as stack:
        raised = stack.enter_context(_errors_of_the_server())
        try:
            server = stack.enter_context(serve(made))
        except UserError as error:
            raise NotYet(f"a service that does not start: {str(error)[:200]}", "one that does") from None
        except TypeError as error:
            raise NotYet(f"a service that cannot be served: {str(error)[:200]}", "one that can") from None
        yield Asking(attempt, stack.enter_context(server.client), raised)


@contextlib.contextmanager
def _errors_of_the_server() -> Iterator[list[BaseException]]:
    """What the server would write into its log: here it is an outcome."""
    raised: list[BaseException] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1] is not None:
                raised.append(record.exc_info[1])

    logger, handler = logging.getLogger("servelab"), Keep()
    before = logger.propagate, logger.level
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.ERROR)
    try:
        yield raised
    finally:
        logger.removeHandler(handler)
        logger.propagate = before[0]
        logger.setLevel(before[1])


# Chances and ballots


def _softmax(scores: "NDArray[Any]") -> "NDArray[Any]":
    import numpy as np

    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[Any] = raised / raised.sum(axis=1, keepdims=True)
    return shares


def _chances(random: "np.random.Generator", rows: int) -> "Numbers":
    return _softmax(random.normal(size=(rows, 10)))


def _pixels(random: "np.random.Generator", rows: int) -> "NDArray[np.float32]":
    import numpy as np

    return random.random((rows, PIXELS), dtype=np.float32)


def _expect_chances(attempt: Attempt, told: Any, wanted: "Numbers", what: str) -> None:
    import numpy as np

    try:
        given = np.asarray(told, dtype=np.float64)
    except (TypeError, ValueError):
        raise NotYet(f"{str(told)[:100]}, which is no table of numbers", what) from None
    attempt.expect(given.shape == wanted.shape, f"numbers of shape {given.shape}", f"{wanted.shape}: {what}")
    apart = float(np.abs(given - wanted).max())
    attempt.expect(apart < 1e-4, f"numbers that are up to {apart:.2g} away", what)


def _ballots(random: "np.random.Generator", members: int) -> "list[Numbers]":
    """Chances of some members: clear majorities, ties, and favourites of the average that few or none name."""
    import numpy as np

    rows = []
    for number in range(60):
        digits = random.permutation(10)
        shares, favourite = random.uniform(0.5, 0.55, members), None
        if number % 3 == 0:  # a majority that is hardly sure, against some who are
            most = members // 2 + 1
            named = [digits[0]] * most + [digits[1]] * (members - most)
            shares[:most], shares[most:] = 0.4, 0.97
        elif number % 3 == 1:  # a tie of two
            named = [*[digits[0], digits[1]] * (members // 2), *digits[2 : 2 + members % 2]]
        else:  # everyone names another digit, and all have the same one in mind beside it
            named, favourite = list(digits[:members]), digits[9]
        row = np.stack([_one(random, *each, favourite) for each in zip(named, shares, strict=True)])
        rows.append(row[random.permutation(members)])
    return list(np.stack(rows, axis=1))


def _one(random: "np.random.Generator", digit: int, share: float, favourite: int | None) -> "Numbers":
    """A member's ten chances: so much for one digit, the rest for the others, or most of it for a favourite."""
    import numpy as np

    others = random.dirichlet(np.full(10, 8.0)) * (1 - share)
    if favourite is not None:
        others *= 0.15
        others[favourite] += 0.85 * (1 - share)
    chances: Numbers = others
    chances[digit] += 1 - chances.sum()
    return chances


def _elected(named: list[int], average: "Numbers") -> int:
    """Counted one by one, as people would."""
    most = max(named.count(digit) for digit in named)
    return max((digit for digit in set(named) if named.count(digit) == most), key=lambda digit: float(average[digit]))
