"""What goes wrong in lesson 11."""

import asyncio
import time
from collections import Counter
from typing import Any

import numpy as np

from helpers.engine import EngineError, Tensor, api, depends, service

Sheet = Tensor["uint8", "height", "width"]
Rows, Chances = Tensor["float32", "digits", 64], Tensor["float32", "digits", 10]

# sequence


def makes_its_own_prepare(Prepare: Any, Model: Any) -> Any:  # noqa: N803
    @service
    class Reader:
        model = depends(Model)

        def __init__(self) -> None:
            self.prepare = Prepare()

        @api
        async def read(self, sheet: Sheet) -> list[int]:
            return (await self.model.classify(self.prepare.cut(sheet))).argmax(1).tolist()

    @service
    class Both(Reader):
        unused = depends(Prepare)

        @api
        async def read(self, sheet: Sheet) -> list[int]:
            return await Reader.read(self, sheet)

    return Both


def asks_for_each_digit(Prepare: Any, Model: Any) -> Any:  # noqa: N803
    @service
    class Reader:
        prepare, model = depends(Prepare), depends(Model)

        @api
        async def read(self, sheet: Sheet) -> list[int]:
            pixels = await self.prepare.cut(sheet)
            return [int((await self.model.classify(row[None])).argmax()) for row in pixels]

    return Reader


def answers_with_chances(Prepare: Any, Model: Any) -> Any:  # noqa: N803
    @service
    class Reader:
        prepare, model = depends(Prepare), depends(Model)

        @api
        async def read(self, sheet: Sheet) -> Chances:
            return await self.model.classify(await self.prepare.cut(sheet))

    return Reader


def takes_the_largest_of_each_column(Prepare: Any, Model: Any) -> Any:  # noqa: N803
    @service
    class Reader:
        prepare, model = depends(Prepare), depends(Model)

        @api
        async def read(self, sheet: Sheet) -> list[int]:
            return (await self.model.classify(await self.prepare.cut(sheet))).argmax(0).tolist()

    return Reader


def calls_the_api_otherwise(Prepare: Any, Model: Any) -> Any:  # noqa: N803
    @service
    class Reader:
        prepare, model = depends(Prepare), depends(Model)

        @api
        async def classify(self, sheet: Sheet) -> list[int]:
            return (await self.model.classify(await self.prepare.cut(sheet))).argmax(1).tolist()

    return Reader


def calls_the_sheet_otherwise(Prepare: Any, Model: Any) -> Any:  # noqa: N803
    @service
    class Reader:
        prepare, model = depends(Prepare), depends(Model)

        @api
        async def read(self, image: Sheet) -> list[int]:
            return (await self.model.classify(await self.prepare.cut(image))).argmax(1).tolist()

    return Reader


def forgets_to_return_the_class(Prepare: Any, Model: Any) -> Any:  # noqa: N803
    calls_the_api_otherwise(Prepare, Model)


def returns_an_instance(Prepare: Any, Model: Any) -> Any:  # noqa: N803
    return calls_the_api_otherwise(Prepare, Model)()


def forgets_to_mark_the_class(Prepare: Any, Model: Any) -> Any:  # noqa: N803
    class Reader:
        prepare, model = depends(Prepare), depends(Model)

        async def read(self, sheet: Sheet) -> list[int]:
            return (await self.model.classify(await self.prepare.cut(sheet))).argmax(1).tolist()

    return Reader


# at_once


def pair(First: Any, Second: Any, mix: Any) -> Any:  # noqa: N803
    @service
    class Pair:
        first, second = depends(First), depends(Second)

        @api
        async def classify(self, pixels: Rows) -> Chances:
            return await mix(self.first, self.second, pixels)

    return Pair


def one_after_the_other(First: Any, Second: Any) -> Any:  # noqa: N803
    async def mix(first: Any, second: Any, pixels: Any) -> Any:
        return (await first.classify(pixels) + await second.classify(pixels)) / 2

    return pair(First, Second, mix)


def calls_both_and_awaits_each(First: Any, Second: Any) -> Any:  # noqa: N803
    async def mix(first: Any, second: Any, pixels: Any) -> Any:
        one, other = first.classify(pixels), second.classify(pixels)
        return (await one + await other) / 2

    return pair(First, Second, mix)


def gathers_each_alone(First: Any, Second: Any) -> Any:  # noqa: N803
    async def mix(first: Any, second: Any, pixels: Any) -> Any:
        (one,) = await asyncio.gather(first.classify(pixels))
        (other,) = await asyncio.gather(second.classify(pixels))
        return (one + other) / 2

    return pair(First, Second, mix)


def asks_the_first_twice(First: Any, Second: Any) -> Any:  # noqa: N803
    async def mix(first: Any, second: Any, pixels: Any) -> Any:
        return sum(await asyncio.gather(first.classify(pixels), first.classify(pixels))) / 2

    return pair(First, Second, mix)


def forgets_to_halve(First: Any, Second: Any) -> Any:  # noqa: N803
    async def mix(first: Any, second: Any, pixels: Any) -> Any:
        return sum(await asyncio.gather(first.classify(pixels), second.classify(pixels)))

    return pair(First, Second, mix)


def keeps_the_second_only(First: Any, Second: Any) -> Any:  # noqa: N803
    async def mix(first: Any, second: Any, pixels: Any) -> Any:
        return (await asyncio.gather(first.classify(pixels), second.classify(pixels)))[1]

    return pair(First, Second, mix)


def averages_over_the_rows(First: Any, Second: Any) -> Any:  # noqa: N803
    @service
    class Pair:
        first, second = depends(First), depends(Second)

        @api
        async def classify(self, pixels: Rows) -> Any:
            both = await asyncio.gather(self.first.classify(pixels), self.second.classify(pixels))
            return np.mean(both, axis=1)

    return Pair


# vote


def ballots(chances: Any) -> np.ndarray:
    return np.sum([np.eye(10)[each.argmax(1)] for each in chances], axis=0)


def lets_the_smallest_digit_win(chances: Any) -> Any:
    return ballots(chances).argmax(1)


def takes_the_average(chances: Any) -> Any:
    return np.mean(chances, axis=0).argmax(1)


def takes_the_average_of_all_digits_when_tied(chances: Any) -> Any:
    votes, average = ballots(chances), np.mean(chances, axis=0)
    tied = (votes == votes.max(1, keepdims=True)).sum(1) > 1
    return np.where(tied, average.argmax(1), votes.argmax(1))


def lets_the_first_member_decide(chances: Any) -> Any:
    named = np.array([each.argmax(1) for each in chances]).T
    return [Counter(row.tolist()).most_common(1)[0][0] for row in named]


def follows_the_surest(chances: Any) -> Any:
    return np.max(chances, axis=0).argmax(1)


def averages_the_labels(chances: Any) -> Any:
    return np.rint(np.mean([each.argmax(1) for each in chances], axis=0)).astype(int)


def lets_the_average_outweigh_votes(chances: Any) -> Any:
    return (ballots(chances) + 20 * np.mean(chances, axis=0)).argmax(1)


def returns_the_votes(chances: Any) -> Any:
    return ballots(chances)


def votes_along_the_wrong_axis(chances: Any) -> Any:
    return np.mean(chances, axis=0).argmax(0)


def spoils_the_chances(chances: Any) -> Any:
    for each in chances:
        each[:] = np.eye(10)[each.argmax(1)]
    return np.sum(chances, axis=0).argmax(1)


# survives


def ensemble(given: tuple[Any, ...], ask_all: Any, needed: int) -> Any:
    """A correct frame around ``ask_all``, which tells the answers by name."""
    one, two, three, *_ = given

    @service
    class Ensemble:
        first, second, third = depends(one), depends(two), depends(three)

        @api
        async def classify(self, pixels: Rows) -> dict[str, Any]:
            members = {"first": self.first, "second": self.second, "third": self.third}
            answers = await ask_all(members, pixels)
            if len(answers) < needed:
                raise EngineError("unavailable", "too few")
            return {"probabilities": np.mean(list(answers.values()), axis=0), "took_part": list(answers)}

    return Ensemble


async def within(patience: float, members: Any, pixels: Any) -> dict[str, Any]:
    async def ask(member: Any) -> Any:
        async with asyncio.timeout(patience):
            return await member.classify(pixels)

    said = await asyncio.gather(*map(ask, members.values()), return_exceptions=True)
    return dict(zip(members, said, strict=True))


def good(said: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in said.items() if not isinstance(each, Exception)}


def lets_one_fail_all(*given: Any) -> Any:
    async def ask_all(members: Any, pixels: Any) -> Any:
        said = await asyncio.gather(*(each.classify(pixels) for each in members.values()))
        return dict(zip(members, said, strict=True))

    return ensemble(given, ask_all, given[3])


def waits_for_ever(*given: Any) -> Any:
    async def ask_all(members: Any, pixels: Any) -> Any:
        asked = (each.classify(pixels) for each in members.values())
        said = await asyncio.gather(*asked, return_exceptions=True)
        return good(dict(zip(members, said, strict=True)))

    return ensemble(given, ask_all, given[3])


def limits_all_together(*given: Any) -> Any:
    async def ask_all(members: Any, pixels: Any) -> Any:
        asked = (each.classify(pixels) for each in members.values())
        async with asyncio.timeout(given[4]):
            said = await asyncio.gather(*asked, return_exceptions=True)
        return good(dict(zip(members, said, strict=True)))

    return ensemble(given, ask_all, given[3])


def asks_one_after_the_other(*given: Any) -> Any:
    async def ask_all(members: Any, pixels: Any) -> Any:
        answers = {}
        for name, member in members.items():
            try:
                async with asyncio.timeout(given[4]):
                    answers[name] = await member.classify(pixels)
            except Exception:
                continue
        return answers

    return ensemble(given, ask_all, given[3])


def needs_nobody(*given: Any) -> Any:
    async def ask_all(members: Any, pixels: Any) -> Any:
        return good(await within(given[4], members, pixels))

    return ensemble(given, ask_all, 1)


def needs_everybody(*given: Any) -> Any:
    async def ask_all(members: Any, pixels: Any) -> Any:
        return good(await within(given[4], members, pixels))

    return ensemble(given, ask_all, 3)


def lets_late_ones_run_on(*given: Any) -> Any:
    async def ask_all(members: Any, pixels: Any) -> Any:
        tasks = {name: asyncio.create_task(each.classify(pixels)) for name, each in members.items()}
        await asyncio.wait(tasks.values(), timeout=given[4])
        return {name: each.result() for name, each in tasks.items() if each.done() and not each.exception()}

    return ensemble(given, ask_all, given[3])


def counts_the_lost_as_zero(*given: Any) -> Any:
    one, two, three, needed, patience = given

    @service
    class Ensemble:
        first, second, third = depends(one), depends(two), depends(three)

        @api
        async def classify(self, pixels: Rows) -> dict[str, Any]:
            members = {"first": self.first, "second": self.second, "third": self.third}
            answers = good(await within(patience, members, pixels))
            if len(answers) < needed:
                raise EngineError("unavailable", "too few")
            return {"probabilities": sum(answers.values()) / 3, "took_part": list(answers)}

    return Ensemble


def says_that_all_took_part(*given: Any) -> Any:
    one, two, three, needed, patience = given

    @service
    class Ensemble:
        first, second, third = depends(one), depends(two), depends(three)

        @api
        async def classify(self, pixels: Rows) -> dict[str, Any]:
            members = {"first": self.first, "second": self.second, "third": self.third}
            answers = good(await within(patience, members, pixels))
            if len(answers) < needed:
                raise EngineError("unavailable", "too few")
            return {"probabilities": np.mean(list(answers.values()), axis=0), "took_part": list(members)}

    return Ensemble


def answers_with_numbers_only(*given: Any) -> Any:
    one, two, three, _, patience = given

    @service
    class Ensemble:
        first, second, third = depends(one), depends(two), depends(three)

        @api
        async def classify(self, pixels: Rows) -> Chances:
            members = {"first": self.first, "second": self.second, "third": self.third}
            return np.mean(list(good(await within(patience, members, pixels)).values()), axis=0)

    return Ensemble


# patience


def forgets_the_caller(deadline: float, now: float, own: float) -> float:
    return own


def takes_all_that_is_left(deadline: float, now: float, own: float) -> float:
    if deadline <= now:
        raise EngineError("deadline_exceeded", "late")
    return min(own, deadline - now)


def takes_the_larger(deadline: float, now: float, own: float) -> float:
    return max(own, 0.8 * (deadline - now))


def looks_at_another_clock(deadline: float, now: float, own: float) -> float:
    return min(own, 0.8 * (deadline - time.monotonic()))


def takes_the_deadline_for_what_is_left(deadline: float, now: float, own: float) -> float:
    return min(own, 0.8 * deadline)


def shares_its_own_limit_too(deadline: float, now: float, own: float) -> float:
    return 0.8 * min(own, deadline - now)


def gives_less_than_nothing(deadline: float, now: float, own: float) -> float:
    return min(own, 0.8 * (deadline - now))


def gives_nothing(deadline: float, now: float, own: float) -> float:
    return max(0.0, min(own, 0.8 * (deadline - now)))


def blames_the_service(deadline: float, now: float, own: float) -> float:
    if deadline <= now:
        raise EngineError("unavailable", "late")
    return min(own, 0.8 * (deadline - now))


MISTAKES = {
    "sequence": {
        makes_its_own_prepare: "Prepare was made 2 times",
        asks_for_each_digit: "classify was called",
        answers_with_chances: "which the model calls",
        takes_the_largest_of_each_column: "which the model calls",
        calls_the_api_otherwise: "a service whose APIs are classify",
        calls_the_sheet_otherwise: "read does not take sheet",
        forgets_to_return_the_class: "what comes back is NoneType",
        returns_an_instance: "what comes back is Reader",
        forgets_to_mark_the_class: "what comes back is type",
    },
    "at_once": {
        one_after_the_other: "nobody asked the other",
        calls_both_and_awaits_each: "nobody asked the other",
        gathers_each_alone: "nobody asked the other",
        asks_the_first_twice: "the first one was asked 2 times",
        forgets_to_halve: "the mean of both",
        keeps_the_second_only: "the mean of both",
        averages_over_the_rows: "numbers of shape (2, 10)",
    },
    "vote": {
        lets_the_smallest_digit_win: "which is a tie",
        takes_the_average: "that most members name",
        takes_the_average_of_all_digits_when_tied: "among those with the most votes",
        lets_the_first_member_decide: "which is a tie",
        follows_the_surest: "that most members name",
        averages_the_labels: "where the members named",
        lets_the_average_outweigh_votes: "that most members name",
        returns_the_votes: "one number for each row",
        votes_along_the_wrong_axis: "one number for each row",
        spoils_the_chances: "were changed",
    },
    "survives": {
        lets_one_fail_all: "one breaks: the caller gets 500",
        waits_for_ever: "one never answers: the caller gets 504",
        limits_all_together: "one never answers: the caller gets 500 (TimeoutError)",
        asks_one_after_the_other: "asked one after the other",
        needs_nobody: "two never answer: the caller gets 200",
        needs_everybody: "one breaks: the caller gets 503",
        lets_late_ones_run_on: "the late one runs on",
        counts_the_lost_as_zero: "away",
        says_that_all_took_part: "took_part is",
        answers_with_numbers_only: "a dictionary",
    },
    "patience": {
        forgets_the_caller: "if that is less",
        takes_all_that_is_left: "if that is less",
        takes_the_larger: "if that is less",
        looks_at_another_clock: "if that is less",
        takes_the_deadline_for_what_is_left: "if that is less",
        shares_its_own_limit_too: "if that is less",
        gives_less_than_nothing: "it is too late",
        gives_nothing: "it is too late",
        blames_the_service: "the code unavailable",
    },
}
