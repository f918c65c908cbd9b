"""Lesson 10, Workers and devices: five tasks about how much runs at the same time, and where.

No check looks at a clock, starts a process or needs a device: servers, loads, devices, models
and the time are made up, and write down what is done with them.
"""

import contextlib
import gc
import inspect
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from helpers.classroom.checking import Attempt, LearnerRaised, NotYet, _learner_line, task

Setting = tuple[int, int]
Figures = dict[Setting, tuple[float, float, float]]


@task(
    "measure",
    title="Measure several servers in turns, and leave none of them running",
    hints=[
        "Two loops, one in the other. Which is the outer one, if a bad moment of the machine is to hit all settings "
        "alike? And the servers run around both.",
        "A `with` block ends its server whatever happens inside. For a number of servers that is not known when "
        "you write the code there is contextlib.ExitStack: `stack.enter_context(…)` is a `with` for one more.",
        "Inside `with ExitStack() as stack`: a dictionary from each setting to stack.enter_context(start(setting)); "
        "then for each round, for each setting, append what ask(server) returns to its list. After that the medians.",
    ],
    learned="Measured in turns, a bad moment hits all alike; and what was started ends, however the measuring ended.",
)
def measure(attempt: Attempt) -> None:
    for settings, rounds in (([(1, 1), (2, 1), (1, 2)], 5), ([(4, 2)], 1), ([(2, 2), (1, 1)], 3)):
        machine = _Machine(attempt, settings, rounds)
        with machine.misuse_first():
            found = attempt.call([*settings], machine.start, machine.ask, rounds)
        told = f"{len(settings)} settings, {rounds} rounds"
        attempt.expect_type(found, dict, f"{told}: the result")
        _expect_all_ended(attempt, machine, told)
        for setting in settings:
            started = machine.started.count(setting)
            attempt.expect(started == 1, f"{told}: the server of {setting} was started {started} times", "once")
        attempt.expect(
            len(machine.asked) == rounds * len(settings),
            f"{told}: servers were asked {len(machine.asked)} times",
            f"each server once a round, {rounds * len(settings)} times in all",
        )
        for number in range(rounds):
            turn = machine.asked[number * len(settings) : (number + 1) * len(settings)]
            attempt.expect(
                sorted(turn) == sorted(settings),
                f"{told}: round {number + 1} asked {', '.join(map(str, turn))}",
                "in each round every server once, before any is asked again",
            )
        attempt.expect(
            found.keys() == set(settings), f"{told}: figures for {_short([*found])}", f"one for each of {settings}"
        )
        for setting in settings:
            wanted = sorted(machine.figures[setting])[rounds // 2]
            attempt.expect(
                _is_near(found[setting], wanted),
                f"{told}: {_short(found[setting])} for {setting}, whose figures were "
                f"{', '.join(f'{figure:.0f}' for figure in machine.figures[setting])}",
                "their median",
            )
    settings = [(1, 1), (2, 1), (4, 1)]
    for what, fails in (("the third server does not start", "start"), ("the fifth load fails", "ask")):
        machine = _Machine(attempt, settings, 4, fails)
        with machine.misuse_first():
            error = _error_of(partial(attempt.call, [*settings], machine.start, machine.ask, 4))
        _expect_all_ended(attempt, machine, what)
        attempt.expect(
            error is machine.error,
            f"{what}: {'no exception' if error is None else f'{type(error).__name__}: {error}'}",
            "its exception, let through",
        )


@task(
    "choose",
    title="Choose the smallest setting that is nearly the best of those allowed",
    hints=[
        "Three steps in this order: who is allowed, what is the most among these, who is good enough.",
        "The memory is needed by all workers of a setting together. And the 90% are those of the best that is "
        "allowed, not of the best at all.",
        "Python compares pairs by their first part, and by the second where the first are equal: the least of the "
        "settings that are good enough is the answer. No setting allowed is a case of its own.",
    ],
    learned="Limits first, then the rate, then thrift: the smallest setting that does it leaves room for the rest.",
)
def choose(attempt: Attempt) -> None:
    one, rng = 1e8, attempt.rng
    crafted: list[tuple[str, Figures, float, float]] = [
        ("the most is the smallest", {(1, 1): (900, 0.1, one), (2, 1): (500, 0.1, one)}, 9e9, 1.0),
        ("two are nearly equal", {(4, 1): (1000, 0.1, one), (2, 1): (950, 0.1, one)}, 9e9, 1.0),
        ("the small one is far behind", {(4, 1): (1000, 0.1, one), (2, 1): (850, 0.1, one)}, 9e9, 1.0),
        ("as many workers, other threads", {(2, 4): (1000, 0.1, one), (2, 1): (930, 0.1, one)}, 9e9, 1.0),
        ("fewer threads, more workers", {(1, 4): (920, 0.1, one), (4, 1): (1000, 0.1, one)}, 9e9, 1.0),
        ("all workers need memory", {(4, 1): (2000, 0.1, one), (2, 1): (900, 0.1, one)}, 3e8, 1.0),
        ("the quickest is too late", {(4, 1): (2000, 0.9, one), (1, 1): (900, 0.2, one)}, 9e9, 0.5),
        ("just within both limits", {(2, 1): (900, 0.5, one), (4, 1): (999, 0.6, one)}, 2e8, 0.5),
        ("none is quick enough", {(2, 1): (900, 0.7, one), (4, 1): (999, 0.6, one)}, 9e9, 0.5),
        ("none has room", {(2, 1): (900, 0.1, one)}, 1e8, 0.5),
    ]
    for told, measured, memory, longest in crafted:
        _expect_choice(attempt, told, measured, memory, longest)
    for _ in range(30):
        settings = [(workers, threads) for workers in (1, 2, 3, 4, 8) for threads in (1, 2, 4)]
        drawn: Figures = {
            settings[number]: (
                round(float(rng.uniform(500, 1000)), 1),
                round(float(rng.uniform(0.01, 0.5)), 3),
                round(float(rng.uniform(0.5, 2.0)), 2) * one,
            )
            for number in rng.permutation(len(settings))[:6].tolist()
        }
        _expect_choice(attempt, "six settings", drawn, float(rng.integers(1, 12)) * one, float(rng.uniform(0.1, 0.5)))


@task(
    "pick_device",
    title="Pick the first device that answers, and keep nothing of those that did not",
    hints=[
        "A device that loads has not answered yet. Both belong into the same `try`.",
        "What refers to a model? The name that you gave it; and the exception, whose traceback holds every frame "
        "on the way. Keep the exception's text, not the exception.",
        "A loop over the wishes: try to load and to call, and return from there. Where an exception is caught: if "
        "it was the last wish, raise it again; else keep its text. Before the loop goes on, let the model's name "
        "stand for something else, such as None.",
    ],
    learned="A device works when it has answered; a failure is kept as text, and its model is gone before the next.",
)
def pick_device(attempt: Attempt) -> None:
    for wished, at_load, at_call in (
        (["cuda", "cpu"], [], []),
        (["cpu"], [], []),
        (["cuda", "cpu"], ["cuda"], []),
        (["cuda", "cpu"], [], ["cuda"]),
        (["tensorrt", "cuda", "coreml", "cpu"], ["tensorrt"], ["cuda"]),
        (["tensorrt", "cuda", "openvino", "cpu"], [], ["tensorrt", "cuda", "openvino"]),
        (["cuda", "tensorrt", "cpu"], ["cuda"], []),
    ):
        devices = _Devices(attempt, at_load, at_call)
        found = attempt.call([*wished], devices.load, devices.images)
        told = f"wished {', '.join(wished)}; {_told('does not load', at_load)}; {_told('does not answer', at_call)}"
        _expect_none_kept(attempt, devices, told)
        attempt.expect(
            isinstance(found, tuple) and len(found) == 3, f"{told}: {_short(found)}", "three things: device, model, why"
        )
        device, model, reasons = found
        failed = [*at_load, *at_call]
        works = next(name for name in wished if name not in failed)
        before = wished[: wished.index(works)]
        attempt.expect(device == works, f"{told}: {_short(device)}", "the first that loads and answers")
        attempt.expect(
            devices.loaded == [*before, works],
            f"{told}: loaded were {', '.join(devices.loaded)}",
            "each wish in its order, and nothing after the first that works",
        )
        attempt.expect(
            isinstance(model, _Model) and model.device == works,
            f"{told}: the model is {_short(model)}",
            f"what load({works!r}) returned",
        )
        attempt.expect(
            model.answered, f"{told}: the model of {works} was never asked", "one that has answered the images"
        )
        attempt.expect_type(reasons, dict, f"{told}: the reasons")
        attempt.expect(
            [*reasons] == before, f"{told}: reasons for {_short([*reasons])}", "one for each device tried before"
        )
        for name, reason in reasons.items():
            attempt.expect(
                isinstance(reason, str),
                f"the reason for {name} is a {type(reason).__name__}",
                "text: an exception keeps everything that it has seen",
            )
            attempt.expect(
                devices.said[name] in reason,
                f"the reason for {name} is {_short(reason)}",
                "text that contains the exception's own",
            )
    for wished, at_load, at_call in ((["cuda", "cpu"], ["cuda"], ["cpu"]), (["cpu"], ["cpu"], [])):
        devices = _Devices(attempt, at_load, at_call)
        error = _error_of(partial(attempt.call, [*wished], devices.load, devices.images))
        attempt.expect(
            isinstance(error, RuntimeError) and str(error) == devices.said["cpu"],
            f"not even the CPU works: {'no exception' if error is None else f'{type(error).__name__}: {error}'}",
            "the exception of the last device, let through",
        )


@task(
    "scaler",
    title="Decide how many replicas there should be",
    hints=[
        "First what is wanted: math.ceil, then between least and most. Then three cases: more than there are, "
        "fewer, as many.",
        "For each direction remember when its row of looks began. A look that does not want it takes that memory "
        "away; a look that does, and finds none, sets it to now.",
        "If the memory of a direction is older than its delay at this look, take what is wanted now as the number, "
        "and forget both memories. Return the number in any case.",
    ],
    learned="A delay for each direction keeps a single wave from starting anything, or a single pause from ending it.",
)
def scaler(attempt: Attempt) -> None:
    settings = {"least": 1, "most": 4, "target": 2, "up_after": 2.5, "down_after": 7.5}
    quiet, many = [1] * 3, [20] * 12
    for told, changed, ongoing in (
        ("quiet all the time", {}, [1] * 8),
        ("a rush that lasts", {}, [*quiet, *[6] * 10]),
        ("5 requests for 2 each", {}, [*quiet, *[5] * 8]),
        ("more than `most` can take", {}, [*quiet, *many]),
        ("nobody at all", {}, [0] * 14),
        ("`least` is 2", {"least": 2}, [1] * 8),
        ("two short waves", {}, [1, 1, 8, 8, 8, 1, 8, 8, 8, 1, 1, 1]),
        ("a rush that ends", {}, [*quiet, *[8] * 8, *[1] * 16]),
        ("a rush with a short pause", {}, [*[8] * 8, *[1] * 7, 8, *[1] * 7, 8, *[1] * 4]),
        ("a rush that grows while it is waited for", {}, [1, 1, 4, 5, 6, 8, 8, 8, 8, 8, 8, 8]),
        ("less, and then less still", {}, [*[8] * 8, *[5] * 7, *[1] * 14]),
        ("slow to rise and quick to fall", {"up_after": 6.5, "down_after": 1.5}, [*[8] * 12, *[1] * 6, *[8] * 6]),
    ):
        _expect_replicas(attempt, settings | changed, told, [float(second) for second in range(len(ongoing))], ongoing)
    _expect_replicas(attempt, settings, "looks at odd times", [0, 0.2, 0.4, 0.7, 1.1, 1.2, 9.0, 9.1, 30.0], [8] * 9)
    for _ in range(12):
        steps = attempt.rng.choice([0.5, 1.0, 2.0, 4.0], 40)
        moments = (100 + steps.cumsum()).tolist()
        levels = attempt.rng.integers(0, 12, 40).repeat(attempt.rng.integers(1, 9, 40))[:40].tolist()
        odd = {"up_after": 2.7, "down_after": 6.3, "target": float(attempt.rng.choice([1, 1.5, 3]))}
        _expect_replicas(attempt, settings | odd, "a drawn day", moments, levels)


@task(
    "stream",
    title="Stream words, work no more than is read, and close the model however it ends",
    hints=[
        "A function with `yield` in it runs only as far as the next `yield`, each time that someone asks. So "
        "nothing is made ahead by itself, unless a list is made first.",
        "A reader who leaves raises GeneratorExit at your `yield`. It is no Exception, so `except Exception` does "
        "not see it; `finally` sees everything.",
        "Open the model. In a `try`: the words of the prompt as a list, and a loop of at most `most` rounds; ask "
        "for the next word, return if it is None, append it, yield it. In the `finally`: close the model.",
    ],
    learned="The `yield` is where a reader may leave, and the `finally` around it where you notice.",
)
def stream(attempt: Attempt) -> None:
    prompt = ["Once", "upon", "a", f"time{int(attempt.rng.integers(100))}"]
    tale = [f"word{number}" for number in attempt.rng.permutation(12).tolist()]
    for most in (5, 20, 12, 1):
        model, opened = _Teller(tale), [0]
        words = _begun(attempt, prompt, model, opened, most)
        said, wanted = [*_read(attempt, words, model, opened, len(tale) + 3)], tale[:most]
        told = f"a text of {len(tale)} words, at most {most}"
        attempt.expect(said == wanted, f"{told}: {_short(said)}", f"the first {len(wanted)} words, one by one")
        attempt.expect(
            model.asked[: len(wanted)] == [[*prompt, *tale[:number]] for number in range(len(wanted))],
            f"{told}: the model was asked what follows {_short(model.asked[: len(wanted)][-1])}",
            "the words of the prompt, and all that were said since",
        )
        attempt.expect(
            len(model.asked) <= min(most, len(tale) + 1),
            f"{told}: the model was asked {len(model.asked)} times",
            "no more than there are words to be read, and once for the end of the text",
        )
        _expect_closed(attempt, model, f"{told}, read to the end")
    for how_many in (1, 4, 12):
        model, opened = _Teller(tale), [0]
        words = _begun(attempt, prompt, model, opened, 50)
        said = [*_read(attempt, words, model, opened, how_many)]
        told = f"a reader who leaves after {how_many} words"
        attempt.expect(said == tale[:how_many], f"{told} has {_short(said)}", f"{how_many} words of the text")
        _guarded(attempt, words.close)
        _expect_closed(attempt, model, told)
    for fails_at in (0, 3):
        model, opened = _Teller(tale, fails_at), [0]
        words = _begun(attempt, prompt, model, opened, 50)
        error = None
        try:
            said = [*_read(attempt, words, model, opened, len(tale))]
        except LearnerRaised as raised:
            if raised.error is not model.error:
                raise
            error = raised.error
        told = f"a model that raises at word {fails_at + 1}"
        attempt.expect(error is not None, f"{told}: no exception, and {_short(said)}", "the model's exception")
        _expect_closed(attempt, model, told)


# Servers and loads that are made up


class _Machine:
    """Starts servers that only note what is done with them, and answers for the load."""

    def __init__(self, attempt: Attempt, settings: Sequence[Setting], rounds: int, fails: str = "") -> None:
        self.fails = fails
        self.error = OSError("the port is taken") if fails == "start" else TimeoutError("no answer")
        self.started: list[Setting] = []
        self.running: list[Setting] = []
        self.asked: list[Setting] = []
        self.misuse: NotYet | None = None
        self.figures: dict[Setting, list[float]] = {}
        for setting in settings:
            # One figure is far off: a mean would show it.
            drawn = [float(round(each)) for each in attempt.rng.uniform(900, 1100, rounds)]
            drawn[int(attempt.rng.integers(rounds))] *= 0.1 if rounds > 1 else 1
            self.figures[setting] = drawn

    @contextlib.contextmanager
    def start(self, setting: Setting) -> Iterator["_Server"]:
        self.started.append(setting)
        if self.fails == "start" and len(self.started) == 3:
            raise self.error
        self.running.append(setting)
        try:
            yield _Server(setting)
        finally:
            self.running.remove(setting)

    @contextlib.contextmanager
    def misuse_first(self) -> Iterator[None]:
        """What was done to the servers explains what came of it."""
        try:
            yield
        finally:
            if self.misuse is not None:
                raise self.misuse

    def ask(self, server: "_Server") -> float:
        if not isinstance(server, _Server):
            wanted = "the server: what `with start(setting) as …` gives"
            self.misuse = self.misuse or NotYet(f"ask() was given {_short(server)}", wanted)
            return 0.0
        if server.setting not in self.running:
            seen = f"the server of {server.setting} was asked when it had ended"
            self.misuse = self.misuse or NotYet(seen, "one that is running")
        self.asked.append(server.setting)
        if self.fails == "ask" and len(self.asked) == 5:
            raise self.error
        own = self.figures[server.setting]
        return own[(self.asked.count(server.setting) - 1) % len(own)]


class _Server:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting


def _expect_all_ended(attempt: Attempt, machine: _Machine, told: str) -> None:
    attempt.expect(
        not machine.running, f"{told}: still running afterwards: {_short(machine.running)}", "no server that still runs"
    )


# The choice


def _expect_choice(attempt: Attempt, told: str, measured: Figures, memory: float, longest: float) -> None:
    before = dict(measured)
    found = attempt.call(measured, memory, longest)
    attempt.expect(measured == before, "the dictionary `measured` was changed", "one that is left alone")
    allowed = {
        setting: rate for setting, (rate, p99, size) in before.items() if setting[0] * size <= memory and p99 <= longest
    }
    best = max(allowed.values(), default=0.0)
    wanted = min((setting for setting, rate in allowed.items() if rate >= 0.9 * best), default=None)
    if found == wanted:
        return
    lines = "; ".join(
        f"{setting}: {rate:.0f}/s, p99 {p99:g} s, {size / 1e6:.0f} MB a worker"
        for setting, (rate, p99, size) in before.items()
    )
    shown = f"{told}: {_short(found)}, with {memory / 1e6:.0f} MB, at most {longest:.2g} s, and {lines}"
    if wanted is None:
        raise NotYet(shown, "None: no setting is allowed")
    attempt.expect(found is not None, shown, "a setting: some are allowed")
    attempt.expect(found in before, shown, "one of the settings")
    attempt.expect(found in allowed, shown, "a setting whose workers fit into the memory and whose p99 is short enough")
    attempt.expect(allowed[found] >= 0.9 * best, shown, "at least 90% of the most answers that are allowed")
    raise NotYet(shown, "of those that are good enough the fewest workers, then the fewest threads")


# Devices that are made up


class _Model:
    def __init__(self, device: str, said: str | None) -> None:
        self.device, self.said, self.answered = device, said, False

    def __call__(self, images: Any) -> Any:
        if self.said is not None:
            raise RuntimeError(self.said)
        self.answered = True
        return images


class _Devices:
    """Some do not load, some do not answer; a model that failed must not be there any more."""

    def __init__(self, attempt: Attempt, at_load: Sequence[str], at_call: Sequence[str]) -> None:
        self.images = attempt.rng.random((2, 3))
        number = int(attempt.rng.integers(1000))
        self.said = {name: f"no driver for {name}, code {number}" for name in at_load}
        self.said |= {name: f"out of memory on {name}, code {number}" for name in at_call}
        self.at_load, self.at_call = at_load, at_call
        self.loaded: list[str] = []
        self.failing: dict[str, weakref.ref[_Model]] = {}
        self.kept = ""

    def load(self, device: str) -> _Model:
        self.kept = self.kept or self.still_there()
        self.loaded.append(device)
        if device in self.at_load:
            raise RuntimeError(self.said[device])
        model = _Model(device, self.said.get(device))
        if device in self.at_call:
            self.failing[device] = weakref.ref(model)
        return model

    def still_there(self) -> str:
        """A device whose failed model something still refers to."""
        if any(model() is not None for model in self.failing.values()):
            gc.collect()
        return next((device for device, model in self.failing.items() if model() is not None), "")


def _expect_none_kept(attempt: Attempt, devices: _Devices, told: str) -> None:
    gone = "nothing that refers to a model that failed: its memory is needed"
    attempt.expect(
        not devices.kept, f"{told}: when the next was loaded, the model of {devices.kept} was still there", gone
    )
    kept = devices.still_there()
    attempt.expect(not kept, f"{told}: the model of {kept} is still there at the end", gone)


def _told(what: str, names: Sequence[str]) -> str:
    return f"{what}: {', '.join(names) or 'none'}"


# Replicas


def _expect_replicas(
    attempt: Attempt, settings: dict[str, float], told: str, moments: Sequence[float], ongoing: Sequence[int]
) -> None:
    made = attempt.call(**settings)
    replicas = getattr(made, "replicas", None)
    if not callable(replicas):
        raise NotYet(f"{_short(made)} has no method replicas", "the class of the exercise")
    wanted = _by_the_rule(settings, moments, ongoing)
    for look, (now, requests) in enumerate(zip(moments, ongoing, strict=True)):
        found = attempt.call_other(replicas, now, requests)
        if found == wanted[look] and not isinstance(found, bool):
            continue
        last = slice(max(0, look - 9), look + 1)
        looks = ", ".join(f"{n} at {moment:g} s" for moment, n in zip(moments[last], ongoing[last], strict=True))
        rule = ", ".join(f"{name}={value:g}" for name, value in settings.items())
        before = f", after {wanted[look - 1]}" if look else ""
        raise NotYet(
            f"{told} ({rule}): {_short(found)} replicas at {now:g} s{before}. Requests in the last looks: {looks}",
            f"{wanted[look]} at that look",
        )


def _by_the_rule(settings: dict[str, float], moments: Sequence[float], ongoing: Sequence[int]) -> list[int]:
    """From the whole record: a change needs a row of looks in one direction that is long enough."""
    running, after, found = int(settings["least"]), 0, []
    for look, now in enumerate(moments):
        wanted = [
            int(min(settings["most"], max(settings["least"], math.ceil(number / settings["target"]))))
            for number in ongoing[after : look + 1]
        ]
        for above, delay in ((True, settings["up_after"]), (False, settings["down_after"])):
            row = 0
            while row < len(wanted) and (wanted[-1 - row] > running if above else wanted[-1 - row] < running):
                row += 1
            if row and now - moments[look + 1 - row] > delay:
                running, after = wanted[-1], look + 1
                break
        found.append(running)
    return found


# A model that tells a tale


class _Teller:
    def __init__(self, tale: Sequence[str], fails_at: int | None = None) -> None:
        self.tale, self.fails_at = tale, fails_at
        self.error = RuntimeError("the model lost its thread")
        self.asked: list[list[str]] = []
        self.closed = 0
        self.asked_when_closed = False

    def next(self, words: Sequence[str]) -> str | None:
        place = len(self.asked)
        self.asked.append([*words])
        self.asked_when_closed = self.asked_when_closed or bool(self.closed)
        if place == self.fails_at:
            raise self.error
        return self.tale[place] if place < len(self.tale) else None

    def close(self) -> None:
        self.closed += 1


def _begun(attempt: Attempt, prompt: Sequence[str], model: _Teller, opened: list[int], most: int) -> Any:
    def open_model() -> _Teller:
        opened[0] += 1
        return model

    words = attempt.call(" ".join(prompt), open_model, most)
    attempt.expect(
        hasattr(words, "__next__") and hasattr(words, "close"), f"the result is {_short(words)}", "a generator"
    )
    attempt.expect(not opened[0], "the model was opened before the first word was asked for", "nothing before that")
    return words


def _read(attempt: Attempt, words: Any, model: _Teller, opened: list[int], how_many: int) -> Iterator[Any]:
    """Ask for words one by one; each time the model must not be ahead."""
    for number in range(1, how_many + 1):
        end = object()
        word = _guarded(attempt, partial(next, words, end))
        attempt.expect(opened[0] == 1, f"the model was opened {opened[0]} times", "once, when the first word is wanted")
        if word is end:
            return
        attempt.expect(
            len(model.asked) <= number,
            f"after {number} words were read, the model had been asked for {len(model.asked)}",
            "none before it is asked for",
        )
        yield word


def _guarded(attempt: Attempt, step: Callable[[], Any]) -> Any:
    """A step of the learner's generator; what it raises is theirs."""
    try:
        return step()
    except Exception as error:
        raise LearnerRaised(error, _learner_line(error.__traceback__, attempt.answer)) from error


def _expect_closed(attempt: Attempt, model: _Teller, told: str) -> None:
    attempt.expect(not model.asked_when_closed, f"{told}: the model was asked after its close()", "close() at the end")
    attempt.expect(model.closed == 1, f"{told}: the model was closed {model.closed} times", "once")


# Small things


def _error_of(call: Callable[[], Any]) -> BaseException | None:
    """What the learner's code let through."""
    try:
        call()
    except LearnerRaised as raised:
        return raised.error
    return None


def _is_near(found: Any, wanted: float) -> bool:
    try:
        return math.isclose(float(found), wanted, rel_tol=1e-6)
    except (TypeError, ValueError):
        return False


def _short(value: Any, limit: int = 90) -> str:
    text = repr(value) if not inspect.isfunction(value) else f"the function {value.__name__}"
    return text if len(text) <= limit else text[: limit - 1] + "…"
