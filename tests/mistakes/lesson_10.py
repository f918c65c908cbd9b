"""What goes wrong in lesson 10."""

import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

Setting = tuple[int, int]
Figures = dict[Setting, tuple[float, float, float]]
Rates = dict[Setting, float]
Call = Callable[..., Any]


# measure


def asks_each_as_often_as_it_likes_first(settings: list[Setting], start: Call, ask: Call, rounds: int) -> Rates:
    with ExitStack() as stack:
        servers = {setting: stack.enter_context(start(setting)) for setting in settings}
        return {s: statistics.median([ask(server) for _ in range(rounds)]) for s, server in servers.items()}


def starts_anew_for_each_round(settings: list[Setting], start: Call, ask: Call, rounds: int) -> Rates:
    found: dict[Setting, list[float]] = {setting: [] for setting in settings}
    for _ in range(rounds):
        for setting in settings:
            with start(setting) as server:
                found[setting].append(ask(server))
    return {setting: statistics.median(figures) for setting, figures in found.items()}


def takes_the_mean(settings: list[Setting], start: Call, ask: Call, rounds: int) -> Rates:
    found = in_turns(settings, start, ask, rounds)
    return {setting: statistics.fmean(figures) for setting, figures in found.items()}


def takes_the_best_round(settings: list[Setting], start: Call, ask: Call, rounds: int) -> Rates:
    return {setting: max(figures) for setting, figures in in_turns(settings, start, ask, rounds).items()}


def leaves_them_running(settings: list[Setting], start: Call, ask: Call, rounds: int) -> Rates:
    stack = ExitStack()
    KEPT_OPEN.append(stack)  # else the collector would close it
    servers = {setting: stack.enter_context(start(setting)) for setting in settings}
    found = {s: [ask(server) for server in [server] for _ in range(rounds)] for s, server in servers.items()}
    return {setting: statistics.median(figures) for setting, figures in found.items()}


def ends_them_only_if_all_went_well(settings: list[Setting], start: Call, ask: Call, rounds: int) -> Rates:
    managers = {setting: start(setting) for setting in settings}
    KEPT_OPEN.append(managers)
    servers = {setting: manager.__enter__() for setting, manager in managers.items()}
    found: dict[Setting, list[float]] = {setting: [] for setting in settings}
    for _ in range(rounds):
        for setting, server in servers.items():
            found[setting].append(ask(server))
    for manager in managers.values():
        manager.__exit__(None, None, None)
    return {setting: statistics.median(figures) for setting, figures in found.items()}


def asks_the_manager(settings: list[Setting], start: Call, ask: Call, rounds: int) -> Rates:
    found: Rates = {}
    for setting in settings:
        manager = start(setting)
        with manager:
            found[setting] = statistics.median([ask(manager) for _ in range(rounds)])
    return found


def swallows_what_fails(settings: list[Setting], start: Call, ask: Call, rounds: int) -> Rates:
    try:
        return {s: statistics.median(found) for s, found in in_turns(settings, start, ask, rounds).items()}
    except OSError:
        return {}


def asks_once(settings: list[Setting], start: Call, ask: Call, rounds: int) -> Rates:
    return {setting: figures[0] for setting, figures in in_turns(settings, start, ask, 1).items()}


def in_turns(settings: list[Setting], start: Call, ask: Call, rounds: int) -> dict[Setting, list[float]]:
    found: dict[Setting, list[float]] = {setting: [] for setting in settings}
    with ExitStack() as stack:
        servers = {setting: stack.enter_context(start(setting)) for setting in settings}
        for _ in range(rounds):
            for setting, server in servers.items():
                found[setting].append(ask(server))
    return found


KEPT_OPEN: list[Any] = []


# choose


def by_the_rule(measured: Figures, memory: float, longest: float, share: float = 0.9) -> Setting | None:
    allowed = {s: rate for s, (rate, p99, size) in measured.items() if s[0] * size <= memory and p99 <= longest}
    most = max(allowed.values(), default=0.0)
    return min((s for s, rate in allowed.items() if rate >= share * most), default=None)


def takes_the_quickest(measured: Figures, memory: float, longest: float) -> Setting | None:
    return by_the_rule(measured, memory, longest, share=1.0)


def counts_one_worker_only(measured: Figures, memory: float, longest: float) -> Setting | None:
    shrunk = {s: (rate, p99, size / s[0]) for s, (rate, p99, size) in measured.items()}
    return by_the_rule(shrunk, memory, longest)


def counts_the_threads_too(measured: Figures, memory: float, longest: float) -> Setting | None:
    grown = {s: (rate, p99, size * s[1]) for s, (rate, p99, size) in measured.items()}
    return by_the_rule(grown, memory, longest)


def forgets_the_latency(measured: Figures, memory: float, longest: float) -> Setting | None:
    return by_the_rule(measured, memory, math.inf)


def compares_with_the_best_of_all(measured: Figures, memory: float, longest: float) -> Setting | None:
    most = max(rate for rate, _, _ in measured.values())
    allowed = {s: r for s, (r, p99, size) in measured.items() if s[0] * size <= memory and p99 <= longest}
    return min((s for s, rate in allowed.items() if rate >= 0.9 * most), default=None)


def prefers_few_threads(measured: Figures, memory: float, longest: float) -> Setting | None:
    turned = {(threads, workers): figures for (workers, threads), figures in measured.items()}
    allowed = {s: r for s, (r, p99, size) in turned.items() if s[1] * size <= memory and p99 <= longest}
    most = max(allowed.values(), default=0.0)
    found = min((s for s, rate in allowed.items() if rate >= 0.9 * most), default=None)
    return found and (found[1], found[0])


def takes_the_smallest_allowed(measured: Figures, memory: float, longest: float) -> Setting | None:
    return by_the_rule(measured, memory, longest, share=0.0)


def always_finds_one(measured: Figures, memory: float, longest: float) -> Setting:
    return by_the_rule(measured, memory, longest) or (1, 1)


def wants_to_be_strictly_within(measured: Figures, memory: float, longest: float) -> Setting | None:
    return by_the_rule(measured, memory * 0.999, longest * 0.999)


# pick_device

Picked = tuple[str, Any, dict[str, Any]] | None


def believes_what_loads(wished: list[str], load: Call, images: Any) -> Picked:
    reasons = {}
    for device in wished:
        try:
            return device, load(device), reasons
        except RuntimeError as error:
            if device == "cpu":
                raise
            reasons[device] = str(error)
    return None


def goes_straight_to_the_cpu(wished: list[str], load: Call, images: Any) -> Picked:
    device, model, reasons = believes_what_loads(wished, load, images) or ("", None, {})
    if device != "cpu":
        try:
            model(images)
            return device, model, reasons
        except RuntimeError as error:
            reasons[device] = str(error)
        model = None
        model = load("cpu")
    model(images)
    return "cpu", model, reasons


def keeps_the_exceptions(wished: list[str], load: Call, images: Any) -> Picked:
    reasons: dict[str, Any] = {}
    for device in wished:
        model = None
        try:
            model = load(device)
            model(images)
            return device, model, reasons
        except RuntimeError as error:
            if device == "cpu":
                raise
            reasons[device] = error
    return None


def keeps_the_model_until_the_next(wished: list[str], load: Call, images: Any) -> Picked:
    reasons = {}
    for device in wished:
        try:
            model = load(device)
            model(images)
            return device, model, reasons
        except RuntimeError as error:
            if device == "cpu":
                raise
            reasons[device] = str(error)
    return None


def loads_all_first(wished: list[str], load: Call, images: Any) -> Picked:
    models, reasons = {}, {}
    for device in wished:
        try:
            models[device] = load(device)
        except RuntimeError as error:
            reasons[device] = str(error)
    for device, model in models.items():
        try:
            model(images)
            return device, model, reasons
        except RuntimeError as error:
            reasons[device] = str(error)
    return None


def gives_no_reason(wished: list[str], load: Call, images: Any) -> Picked:
    device, model, reasons = honest(wished, load, images)
    return device, model, dict.fromkeys(reasons, "it does not work")


def forgets_who_failed(wished: list[str], load: Call, images: Any) -> Picked:
    device, model, _ = honest(wished, load, images)
    return device, model, {}


def says_none_where_nothing_works(wished: list[str], load: Call, images: Any) -> Picked:
    try:
        return honest(wished, load, images)
    except RuntimeError:
        return None


def loads_the_winner_twice(wished: list[str], load: Call, images: Any) -> Picked:
    device, _, reasons = honest(wished, load, images)
    return device, load(device), reasons


def asks_none_but_the_last(wished: list[str], load: Call, images: Any) -> Picked:
    model = load("cpu")
    model(images)
    return "cpu", model, dict.fromkeys(wished[:-1], "not tried")


def honest(wished: list[str], load: Call, images: Any) -> tuple[str, Any, dict[str, str]]:
    reasons = {}
    for device in wished:
        model = None
        try:
            model = load(device)
            model(images)
            return device, model, reasons
        except RuntimeError as error:
            if device == wished[-1]:
                raise
            reasons[device] = str(error)
    raise AssertionError


# scaler


class Rule:
    """Right, for the mistakes to build on."""

    def __init__(self, least: float, most: float, target: float, up_after: float, down_after: float) -> None:
        self.least, self.most, self.target = least, most, target
        self.up_after, self.down_after = up_after, down_after
        self.running = least
        self.more_since: float | None = None
        self.less_since: float | None = None

    def wanted(self, ongoing: int) -> float:
        return min(self.most, max(self.least, math.ceil(ongoing / self.target)))

    def replicas(self, now: float, ongoing: int) -> float:
        wanted = self.wanted(ongoing)
        self.more_since = (now if self.more_since is None else self.more_since) if wanted > self.running else None
        self.less_since = (now if self.less_since is None else self.less_since) if wanted < self.running else None
        up = self.more_since is not None and now - self.more_since > self.up_after
        down = self.less_since is not None and now - self.less_since > self.down_after
        if up or down:
            self.running, self.more_since, self.less_since = wanted, None, None
        return self.running


class RoundsDown(Rule):
    def wanted(self, ongoing: int) -> float:
        return min(self.most, max(self.least, int(ongoing // self.target)))


class KnowsNoMost(Rule):
    def wanted(self, ongoing: int) -> float:
        return max(self.least, math.ceil(ongoing / self.target))


class GoesToZero(Rule):
    def wanted(self, ongoing: int) -> float:
        return min(self.most, math.ceil(ongoing / self.target))


class DoesNotWait(Rule):
    def replicas(self, now: float, ongoing: int) -> float:
        return self.wanted(ongoing)


class HasOneDelay(Rule):
    def __init__(self, least: float, most: float, target: float, up_after: float, down_after: float) -> None:
        super().__init__(least, most, target, up_after, up_after)


class ForgetsThePause(Rule):
    """A look that does not want more does not end the wait."""

    def replicas(self, now: float, ongoing: int) -> float:
        wanted = self.wanted(ongoing)
        if wanted > self.running and self.more_since is None:
            self.more_since = now
        if wanted < self.running and self.less_since is None:
            self.less_since = now
        if wanted > self.running and now - (self.more_since or now) > self.up_after:
            self.running, self.more_since = wanted, None
        if wanted < self.running and now - (self.less_since or now) > self.down_after:
            self.running, self.less_since = wanted, None
        return self.running


class CountsLooks(Rule):
    """As if they came once a second."""

    def __init__(self, least: float, most: float, target: float, up_after: float, down_after: float) -> None:
        super().__init__(least, most, target, up_after, down_after)
        self.looks = 0

    def replicas(self, now: float, ongoing: int) -> float:
        self.looks += 1
        return super().replicas(float(self.looks), ongoing)


class GoesUpByOne(Rule):
    def replicas(self, now: float, ongoing: int) -> float:
        before = self.running
        after = super().replicas(now, ongoing)
        self.running = min(after, before + 1)
        return self.running


class GoesToTheFirstWish(Rule):
    """To what was wanted when the wait began."""

    first = 0.0

    def replicas(self, now: float, ongoing: int) -> float:
        before, waits = self.running, self.more_since is not None or self.less_since is not None
        after = super().replicas(now, ongoing)
        if after != before:
            self.running = after = self.first
        elif not waits:
            self.first = self.wanted(ongoing)
        return after


# stream


def makes_a_list_first(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    words, said, model = prompt.split(), list[str](), open_model()
    try:
        while len(said) < most and (word := model.next([*words, *said])) is not None:
            said.append(word)
    finally:
        model.close()
    yield from said


def opens_at_once(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    model = open_model()

    def tell() -> Iterator[str]:
        words = prompt.split()
        try:
            for _ in range(most):
                word = model.next(words)
                if word is None:
                    return
                words.append(word)
                yield word
        finally:
            model.close()

    return tell()


def closes_only_at_the_end(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    model, words = open_model(), prompt.split()
    for _ in range(most):
        word = model.next(words)
        if word is None:
            break
        words.append(word)
        yield word
    model.close()


def catches_exceptions_only(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    model, words = open_model(), prompt.split()
    try:
        for _ in range(most):
            word = model.next(words)
            if word is None:
                break
            words.append(word)
            yield word
    except Exception:
        model.close()
        raise
    model.close()


def closes_twice(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    model, words = open_model(), prompt.split()
    try:
        for _ in range(most):
            word = model.next(words)
            if word is None:
                model.close()
                return
            words.append(word)
            yield word
    finally:
        model.close()


def reads_one_ahead(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    model, words = open_model(), prompt.split()
    try:
        word = model.next(words)
        for _ in range(most):
            if word is None:
                return
            words.append(word)
            ahead = model.next(words)
            yield word
            word = ahead
    finally:
        model.close()


def knows_the_prompt_only(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    model = open_model()
    try:
        for _ in range(most):
            word = model.next(prompt.split())
            if word is None:
                return
            yield word
    finally:
        model.close()


def says_none_at_the_end(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    model, words = open_model(), prompt.split()
    try:
        for _ in range(most):
            words.append(model.next(words))
            yield words[-1]
    finally:
        model.close()


def one_word_too_many(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    return told(prompt, open_model, most + 1)


def asks_once_more_than_it_says(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    model, words, made = open_model(), prompt.split(), 0
    try:
        while (word := model.next(words)) is not None and made < most:
            words.append(word)
            made += 1
            yield word
    finally:
        model.close()


def swallows_the_models_exception(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    try:
        yield from told(prompt, open_model, most)
    except RuntimeError:
        return


def returns_one_text(prompt: str, open_model: Call, most: int) -> str:
    return " ".join(told(prompt, open_model, most))


def told(prompt: str, open_model: Call, most: int) -> Iterator[str]:
    """Right, for the mistakes to build on."""
    model = open_model()
    try:
        words = prompt.split()
        for _ in range(most):
            word = model.next(words)
            if word is None:
                return
            words.append(word)
            yield word
    finally:
        model.close()


MISTAKES = {
    "measure": {
        asks_each_as_often_as_it_likes_first: "round 1 asked",
        starts_anew_for_each_round: "was started 5 times",
        takes_the_mean: "whose figures were",
        takes_the_best_round: "whose figures were",
        leaves_them_running: "still running afterwards",
        ends_them_only_if_all_went_well: "the third server does not start: still running",
        asks_the_manager: "ask() was given",
        swallows_what_fails: "the third server does not start: no exception",
        asks_once: "servers were asked 3 times",
    },
    "choose": {
        takes_the_quickest: "the fewest workers",
        counts_one_worker_only: "fit into the memory",
        counts_the_threads_too: "with",
        forgets_the_latency: "p99 is short enough",
        compares_with_the_best_of_all: "None",
        prefers_few_threads: "the fewest workers",
        takes_the_smallest_allowed: "at least 90%",
        always_finds_one: "no setting is allowed",
        wants_to_be_strictly_within: "just within both limits",
    },
    "pick_device": {
        believes_what_loads: "was never asked",
        goes_straight_to_the_cpu: "the first that loads and answers",
        keeps_the_exceptions: "is a RuntimeError",
        keeps_the_model_until_the_next: "when the next was loaded",
        loads_all_first: "nothing after the first that works",
        gives_no_reason: "the exception's own",
        forgets_who_failed: "one for each device tried before",
        says_none_where_nothing_works: "not even the CPU works: no exception",
        loads_the_winner_twice: "nothing after the first that works",
        asks_none_but_the_last: "the first that loads and answers",
    },
    "scaler": {
        RoundsDown: "5 requests for 2 each",
        KnowsNoMost: "more than `most` can take",
        GoesToZero: "nobody at all",
        DoesNotWait: "a rush that lasts",
        HasOneDelay: "a rush that ends",
        ForgetsThePause: "two short waves",
        CountsLooks: "looks at odd times",
        GoesUpByOne: "a rush that lasts",
        GoesToTheFirstWish: "a rush that grows",
    },
    "stream": {
        makes_a_list_first: "none before it is asked for",
        opens_at_once: "opened before the first word",
        closes_only_at_the_end: "a reader who leaves after 1 words: the model was closed 0 times",
        catches_exceptions_only: "a reader who leaves after 1 words: the model was closed 0 times",
        closes_twice: "closed 2 times",
        reads_one_ahead: "the model had been asked for 2",
        knows_the_prompt_only: "all that were said since",
        says_none_at_the_end: "the first 12 words",
        one_word_too_many: "the first 5 words",
        asks_once_more_than_it_says: "no more than there are words",
        swallows_the_models_exception: "a model that raises at word 1: no exception",
        returns_one_text: "a generator",
    },
}
