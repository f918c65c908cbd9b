"""Lesson 06, Providers and threads: five tasks about what runs a model, and with how many threads.

No check looks at a clock, nor at the providers of the machine that it runs on: builds,
drivers and measurements are made up, and only what does not depend on them is real.
"""

import contextlib
import copy
import io
import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.classroom.checking import Attempt, LearnerRaised, task
from helpers.classroom.checks.model_files import folder_of_its_own

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

    Samples = dict[int, NDArray[np.float64]]

CPU = "CPUExecutionProvider"
OTHERS = [f"{name}ExecutionProvider" for name in ("Tensorrt", "CUDA", "OpenVINO", "MIGraphX", "CoreML", "QNN")]
SPINNING = "session.intra_op.allow_spinning"


@task(
    "pick_providers",
    title="Pick providers from wishes, with a reason for each that is not granted",
    hints=[
        "Go through the wishes once, in their order. For each there are three cases, and one of them is good.",
        "Ask first whether the name is known at all, then whether this build has it. The CPU needs no place in "
        "that loop's result: where does it go in any case?",
        "Keep a list and a dictionary. A name that is not known, and one that is not available, go into the "
        "dictionary with two different sentences; the CPU and what is in the list already are passed over; "
        "the rest is appended. Return the list with the CPU behind it, and the dictionary.",
    ],
    learned="A list that ends with the CPU always opens, and a wish that was refused says who can mend it.",
)
def pick_providers(attempt: Attempt) -> None:
    one, two, three, four, *more = attempt.rng.permutation(OTHERS).tolist()
    known = [*sorted(OTHERS), CPU]
    misspelt = one.replace("ExecutionProvider", "Provider")
    for wished, available, granted in (
        ([one, two, CPU], [one, two, three, CPU], [one, two]),
        ([two, one, CPU], [one, two, three, CPU], [two, one]),
        ([one, two, three, CPU], [three, one, CPU], [one, three]),
        ([misspelt, two, CPU], [one, two, CPU], [two]),
        ([three, misspelt, four], [one, CPU], []),
        ([one, two], [CPU, two, one], [one, two]),
        ([CPU, one], [one, CPU], [one]),
        ([one, CPU, two, one, CPU], [two, one, CPU], [one, two]),
        ([], [one, CPU], []),
    ):
        chosen, refused = _picked(attempt, wished, available, known)
        shown = f"wished {_short(wished)}, available {_short(available)}: {_short(chosen)}"
        attempt.expect(
            all(name in available for name in chosen), shown, "only providers that are available in this build"
        )
        attempt.expect(
            [*chosen].count(CPU) == 1 and chosen[-1] == CPU, shown, "the CPU once, after all the others, in any case"
        )
        attempt.expect(
            sorted(chosen[:-1]) == sorted(granted), shown, "each wish that is available, once, and nothing unasked"
        )
        attempt.expect([*chosen[:-1]] == granted, shown, "the order of the wishes")
        not_granted = {name for name in wished if name != CPU and name not in granted}
        attempt.expect(
            refused.keys() == not_granted,
            f"{shown}, and reasons for {_short(refused) or 'none'}",
            "a reason for each wish that is not granted, and for no other",
        )
        for name, reason in refused.items():
            attempt.expect(
                isinstance(reason, str) and reason.strip(),
                f"the reason {reason!r} for {name}",
                "a sentence that says why",
            )
    _, refused = _picked(attempt, [misspelt, two, more[0]], [one, CPU], known)
    unknown, lacking, lacking_too = (refused[name].replace(name, "") for name in (misspelt, two, more[0]))
    attempt.expect(
        unknown != lacking and unknown != lacking_too,
        f"a name that ONNX Runtime does not know and one that this build lacks have one reason: {unknown.strip()!r}",
        "reasons that tell the two apart",
    )


@task(
    "open_honestly",
    title="Open a session on the best that works, and say truly what it runs on",
    hints=[
        "Two things can happen to a provider that does not work: an exception, or silence. Silence is noticed by "
        "asking the session that you got.",
        "Which of several is at fault? You know if you add one at a time to those that work already. And what "
        "raises with the CPU alone is not a provider's fault.",
        "Open with the CPU alone first, outside of any try. Then for each other wish: open with what works so far, "
        "the wish, and the CPU. An exception is a reason; a wish that get_providers() of the new session lacks "
        "is another; else keep the new session.",
    ],
    learned="Opened and asked: only the session itself knows what it runs on, and each refusal keeps its reason.",
)
def open_honestly(attempt: Attempt) -> None:
    one, two, three, *_ = attempt.rng.permutation(OTHERS).tolist()
    for wished, works, raises in (
        ([one, two, CPU], [one, two], []),
        ([CPU], [], []),
        ([one, two, CPU], [one], []),
        ([one, two, CPU], [two], [one]),
        ([one, two, CPU], [one], [two]),
        ([one, two, CPU], [], [one, two]),
        ([one, two, three, CPU], [three], [one]),
        ([one, two, three, CPU], [one, three], [two]),
    ):
        _expect_honest(attempt, wished, _Machine(works, raises))
    _expect_the_files_fault(attempt, [one, CPU])
    _expect_honest_with_the_real_one(attempt)


@task(
    "options_for",
    title="Set the threads of sessions that share a machine",
    hints=[
        "Threads are divided like sweets: what does not divide evenly goes to some, one each. "
        "What does 0 mean to ONNX Runtime?",
        "divmod(cores, sessions) gives the share and what is left over. A share of nothing becomes one thread.",
        "Set intra_op_num_threads of each to max(1, share), plus one for the first left-over ones, and call "
        f'add_session_config_entry("{SPINNING}", …) with the text that means no.',
    ],
    learned="The threads of all sessions are one budget, and who waits for work sleeps.",
)
def options_for(attempt: Attempt) -> None:
    import onnxruntime

    some = int(attempt.rng.integers(3, 6))
    cases = [(2, 2), (1, 4), (2, 4), (2, 5), (3, 8), (4, 2), (some, some * 3 - 1), (some, some - 1)]
    for sessions, cores in cases:
        given = attempt.call(sessions, cores)
        attempt.expect_type(given, (list, tuple), "the result")
        asked = f"{sessions} session{'s' * (sessions > 1)} on {cores} cores"
        attempt.expect(len(given) == sessions, f"{asked}: {len(given)} options", "one for each session")
        for options in given:
            attempt.expect_type(options, onnxruntime.SessionOptions, "what is in the list")
        threads = [options.intra_op_num_threads for options in given]
        shown = f"{asked}: {threads} threads"
        attempt.expect(
            min(threads) >= 1, shown, "at least one thread for each; 0 means as many as the machine has cores"
        )
        if cores >= sessions:
            attempt.expect(sum(threads) <= cores, shown, "no more threads together than there are cores")
            attempt.expect(sum(threads) == cores, shown, "no core left without a thread")
        attempt.expect(max(threads) - min(threads) <= 1, shown, "shares that differ by one thread at most")
        if cores < sessions:
            attempt.expect(max(threads) == 1, shown, "one thread each, where there are more sessions than cores")
        for options in given:
            attempt.expect(
                _entry(options, SPINNING) == "0",
                f"{asked}: {SPINNING} is {_entry(options, SPINNING) or 'not set, and ONNX Runtime spins'}",
                "threads that do not spin while they wait",
            )
            attempt.expect(
                options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL,
                f"{asked}: the execution mode is {options.execution_mode}, which brings threads of its own",
                "no other threads than those that are counted",
            )
    for options in attempt.call(2, 2):
        onnxruntime.InferenceSession(_chain(["a", "b"]), options, providers=[CPU])


@task(
    "best_threads",
    title="Choose a number of threads in spite of noise",
    hints=[
        "np.percentile gives the quartiles. Which single number of all the others matters for whether a setting "
        "is beaten by any of them?",
        "A setting is beaten if the smallest upper quartile of all is less than its own lower quartile. "
        "(Its own upper quartile never is.)",
        "Compute both quartiles of each setting, take the smallest of the upper ones, keep the settings whose "
        "lower quartile is not above it, and return the smallest of those.",
    ],
    learned="More threads have to show that they are worth it; a difference within the spread shows nothing.",
)
def best_threads(attempt: Attempt) -> None:
    np = _numpy()
    for told, measured, wanted in _measurements(attempt.rng):
        given = attempt.call(copy.deepcopy(measured))
        attempt.expect_type(given, (int, np.integer), "the result")
        attempt.expect(
            given in measured, f"{given}, measured were {sorted(measured)}", "one of the measured numbers of threads"
        )
        spoken = ", ".join(_as_spoken(threads, measured[threads]) for threads in sorted(measured))
        attempt.expect(given == wanted, f"{given} for these quartiles in ms: {spoken}", told)


@task(
    "strays",
    title="Find the steps that do not run where they should",
    hints=[
        "Not every event is a step: look at the category first. Only steps have a provider in their args.",
        "A step appears once for each run, and a dictionary takes it once. The end of the name is cut off as a "
        "whole: str.strip would take single letters.",
        "For each event of the category Node whose args' provider is not the wanted one: put "
        "name.removesuffix('_kernel_time') into a dictionary, with the provider as its value.",
    ],
    learned="The profile names each step's provider, also where the session's list looks as you wished.",
)
def strays(attempt: Attempt) -> None:
    names = attempt.rng.permutation(
        ["attention_kernel", "time", "relu_time", "layer/fused node_3", "x_1", "tel"]
    ).tolist()
    with folder_of_its_own() as folder:
        recorded = _profile(names, folder)
    chosen: list[list[str]] = [names[:2], [], names, names[1:5:2]]
    for stray in chosen:
        wanted = str(attempt.rng.choice(OTHERS[:-1]))
        events = copy.deepcopy(recorded)
        for event in events:
            if event["cat"] == "Node" and event["name"].removesuffix("_kernel_time") not in stray:
                event["args"]["provider"] = wanted
        elsewhere = dict.fromkeys(stray, CPU)
        if stray and len(stray) < len(names):
            copied = next(event for event in events if event["cat"] == "Node")
            events.append(copied | {"name": "Memcpy_7_kernel_time", "args": copied["args"] | {"provider": OTHERS[-1]}})
            elsewhere["Memcpy_7"] = OTHERS[-1]
        given = attempt.call(copy.deepcopy(events), wanted)
        attempt.expect_type(given, dict, "the result")
        attempt.expect(
            given.keys() == elsewhere.keys(),
            f"steps {sorted(map(str, given))}",
            f"{len(elsewhere)} steps, by their own names: {sorted(elsewhere)}" if elsewhere else "none: all ran on it",
        )
        attempt.expect(
            given == elsewhere, f"{given}", "for each step the provider that ran it, by ONNX Runtime's name for it"
        )


# A picker's answer


def _picked(
    attempt: Attempt, wished: list[str], available: list[str], known: list[str]
) -> tuple[Sequence[str], dict[str, Any]]:
    arguments = [*wished], [*available], [*known]
    given = attempt.call(*arguments)
    attempt.expect(
        arguments == (wished, available, known), "an argument was changed on the way", "arguments that are left alone"
    )
    attempt.expect(
        isinstance(given, (tuple, list)) and len(given) == 2, _says(given), "two things: a list and a dictionary"
    )
    chosen, refused = given
    attempt.expect_type(chosen, (list, tuple), "the first of the two")
    attempt.expect_type(refused, dict, "the second of the two")
    attempt.expect(chosen, "an empty list of providers", "never an empty list: the CPU is there in any case")
    return chosen, refused


# Machines that are made up, and one that is real


class _Session:
    """What the checked code may ask a session: what it runs on."""

    def __init__(self, providers: list[str]) -> None:
        self._providers = providers

    def get_providers(self) -> list[str]:
        return [*self._providers]


class _Machine:
    """A build of ONNX Runtime on some machine: some providers work, some raise, the rest is left out in silence."""

    def __init__(self, works: Sequence[str], raises: Sequence[str]) -> None:
        self.works = works
        self.raises = raises
        self.opened: list[Any] = []

    def open(self, path: object, providers: Iterable[Any]) -> _Session:
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail

        asked = [*dict.fromkeys(providers or [CPU])]
        for name in asked:
            if name in self.raises:
                kind = Fail if self.raises.index(name) == 0 else RuntimeError
                raise kind(f"{name}: {self.said(name)}")
        running = [name for name in asked if name in (*self.works, CPU)]
        self.opened.append(_Session(running if CPU in running else [*running, CPU]))
        session: _Session = self.opened[-1]
        return session

    def said(self, name: str) -> str:
        return f"driver error {40 + OTHERS.index(name)}"


def _expect_honest(attempt: Attempt, wished: list[str], machine: _Machine) -> None:
    session, running, reasons = _opened(attempt, wished, machine.open)
    works = [name for name in wished if name in machine.works]
    world = (
        f"wished {_short(wished)}; working {_short(works) or 'none of the others'}, "
        f"raising {_short(machine.raises) or 'none'}"
    )
    attempt.expect(
        any(session is one for one in machine.opened),
        f"{world}: {_says(session)} in place of a session",
        "a session that open has returned",
    )
    attempt.expect(
        [*running] == session.get_providers(),
        f"{world}: the answer claims {_short(running)}, and the session says {_short(session.get_providers())}",
        "what the session really runs on",
    )
    attempt.expect(
        [*running] == [*works, CPU],
        f"{world}: it runs on {_short(running)}",
        "all that work, in the order of the wishes, and the CPU behind them",
    )
    attempt.expect(
        reasons.keys() == {name for name in wished if name not in running},
        f"{world}: reasons for {_short(reasons) or 'none'}",
        "a reason for each wish that is not used, and for no other",
    )
    for name, reason in reasons.items():
        attempt.expect(
            isinstance(reason, str) and reason.strip(), f"the reason {reason!r} for {name}", "a sentence that says why"
        )
        attempt.expect(
            name not in machine.raises or machine.said(name) in reason,
            f"the reason {reason[:80]!r}, where the exception said {machine.said(name)!r}",
            "what the exception said, as a part of the reason",
        )


def _expect_the_files_fault(attempt: Attempt, wished: list[str]) -> None:
    damaged = FileNotFoundError("no file of this name")

    def open_nothing(path: object, providers: object) -> None:
        raise damaged

    try:
        given = attempt.call("missing.onnx", wished, open_nothing)
    except LearnerRaised as raised:
        if raised.error is damaged or damaged in (raised.error.__cause__, raised.error.__context__):
            return
        raise
    attempt.expect(
        False,
        f"a file that nothing can open, and no exception but {_says(given)}",
        "the exception of the CPU's attempt",
    )


def _expect_honest_with_the_real_one(attempt: Attempt) -> None:
    """ONNX Runtime itself, asked for what no build has."""
    import onnxruntime

    opened = []

    def open_really(path: Any, providers: Any) -> Any:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            opened.append(onnxruntime.InferenceSession(path, providers=providers))
        return opened[-1]

    with folder_of_its_own() as folder:
        path = folder / "model.onnx"
        path.write_bytes(_chain(["a", "b"]))
        nowhere = "NowhereExecutionProvider"
        session, running, reasons = _opened(attempt, [nowhere, CPU], open_really, str(path))
        attempt.expect(
            any(session is one for one in opened) and [*running] == session.get_providers() == [CPU],
            f"the real ONNX Runtime, asked for {_short([nowhere])}: the answer claims {_short(running)}",
            "a session of ONNX Runtime's, and what it says that it runs on",
        )
        attempt.expect(
            [*reasons] == [nowhere],
            f"reasons for {_short(reasons) or 'none'}",
            "a reason for each wish that is not used, and for no other",
        )


def _opened(attempt: Attempt, wished: list[str], opener: Any, path: str = "model.onnx") -> tuple[Any, Any, Any]:
    given = attempt.call(path, [*wished], opener)
    attempt.expect(
        isinstance(given, (tuple, list)) and len(given) == 3,
        _says(given),
        "three things: a session, what it runs on, and the reasons",
    )
    session, running, reasons = given
    attempt.expect_type(running, (list, tuple), "the second of the three")
    attempt.expect_type(reasons, dict, "the third of the three")
    return session, running, reasons


# Options, measurements and profiles


def _entry(options: "onnxruntime.SessionOptions", key: str) -> str:
    try:
        return str(options.get_session_config_entry(key))
    except RuntimeError:  # it was never set
        return ""


def _measurements(rng: "np.random.Generator") -> Iterable[tuple[str, "Samples", int]]:
    """What the rule makes of them, the seconds of each setting, and the answer."""

    def runs(low: float, high: float, slow: int = 0, quick: int = 0) -> "NDArray[np.float64]":
        """101 runs in milliseconds whose quartiles are the two; some of them freaks outside."""
        np = _numpy()
        scale, shift = high - low, rng.uniform(-0.002, 0.002)
        inner = np.linspace(low - scale / 2, high + scale / 2, 101)
        inner[:quick] = 0.02 * low
        inner[101 - slow :] = 40 * high
        return rng.permutation(inner) * 1e-3 * (1 + shift)

    few, some, many = sorted(rng.choice([2, 3, 4, 6, 8, 12], 3, replace=False).tolist())
    nothing_told = "the fewest threads: nothing here beats them, their quartiles overlap with those of all others"
    beaten = "the fewest of those that no other setting beats"
    yield beaten, {1: runs(9.8, 10.2), few: runs(5.0, 5.2), some: runs(2.6, 2.8)}, some
    yield beaten, {1: runs(0.037, 0.040), few: runs(0.052, 0.06), some: runs(0.06, 0.09)}, 1
    yield nothing_told, {1: runs(9.5, 10.5), few: runs(9.3, 10.2), some: runs(9.1, 10.0), many: runs(9.2, 10.3)}, 1
    yield beaten, {many: runs(4.8, 5.1), 1: runs(9.7, 10.3), some: runs(4.9, 5.2), few: runs(9.6, 10.0)}, some
    yield nothing_told, {few: runs(9.5, 10.5), 1: runs(9.6, 10.6, slow=20), some: runs(9.4, 10.4)}, 1
    yield nothing_told, {1: runs(9.6, 10.4), few: runs(9.5, 10.5, quick=10)}, 1
    yield beaten, {1: runs(9.7, 10.3), few: runs(9.2, 9.9), some: runs(8.8, 9.4)}, few
    yield beaten, {few: runs(9.7, 10.3), some: runs(6.0, 6.4, slow=22)}, some


def _as_spoken(threads: int, seconds: "NDArray[np.float64]") -> str:
    low, high = _numpy().percentile(seconds, [25, 75]) * 1e3
    return f"{threads}: {low:.3g} to {high:.3g}"


def _chain(names: Sequence[str]) -> bytes:
    """A model whose steps have these names and come one after the other."""
    from onnx import TensorProto, helper

    values = ["rows", *(f"value {place}" for place in range(len(names)))]
    operators = ["Relu", "Neg"]
    nodes = [
        helper.make_node(operators[place % 2], [values[place]], [values[place + 1]], name=name)
        for place, name in enumerate(names)
    ]
    ends = [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["batch", 4]) for value in (values[0], values[-1])]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def _profile(names: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """The events of ONNX Runtime's profiler for three runs of such a model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(_chain(names), options, providers=[CPU])
    for _ in range(3):
        session.run(None, {"rows": _numpy().ones((2, 4), "float32")})
    events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    return events


# How things are shown in a message


def _short(names: Iterable[object]) -> str:
    return ", ".join(str(name).removesuffix("ExecutionProvider") for name in names)


def _says(value: object) -> str:
    return f"{type(value).__name__} {value!r}"[:80]


def _numpy() -> Any:
    import numpy

    return numpy
