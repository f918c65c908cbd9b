"""What goes wrong in lesson 06."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import onnxruntime

CPU = "CPUExecutionProvider"
Reasons = dict[str, Any]
Measured = dict[int, np.ndarray]
Events = list[dict[str, Any]]


# pick_providers


def pick(wished: list[str], available: list[str], known: list[str]) -> tuple[list[str], Reasons]:
    """Right, for the mistakes to build on."""
    chosen, refused = [], {}
    for name in wished:
        if name not in known:
            refused[name] = "unknown"
        elif name not in available:
            refused[name] = "not in this build"
        elif name != CPU and name not in chosen:
            chosen.append(name)
    return [*chosen, CPU], refused


def grants_every_wish(wished: list[str], available: list[str], known: list[str]) -> tuple[list[str], Reasons]:
    return [*(name for name in wished if name != CPU), CPU], {}


def takes_the_order_of_the_build(
    wished: list[str], available: list[str], known: list[str]
) -> tuple[list[str], Reasons]:
    chosen, refused = pick(wished, available, known)
    return sorted(chosen, key=lambda name: (name == CPU, available.index(name))), refused


def loses_the_order_in_a_set(wished: list[str], available: list[str], known: list[str]) -> tuple[list[str], Reasons]:
    refused = pick(wished, available, known)[1]
    return [*sorted(set(wished) & set(available) - {CPU}), CPU], refused


def leaves_the_cpu_where_it_was(wished: list[str], available: list[str], known: list[str]) -> tuple[list[str], Reasons]:
    chosen = [name for name in dict.fromkeys(wished) if name in available]
    return chosen if CPU in chosen else [*chosen, CPU], pick(wished, available, known)[1]


def forgets_the_cpu_unless_wished(
    wished: list[str], available: list[str], known: list[str]
) -> tuple[list[str], Reasons]:
    chosen, refused = pick(wished, available, known)
    return chosen if CPU in wished else chosen[:-1], refused


def keeps_double_wishes(wished: list[str], available: list[str], known: list[str]) -> tuple[list[str], Reasons]:
    chosen = [name for name in wished if name in available and name != CPU]
    return [*chosen, CPU], pick(wished, available, known)[1]


def takes_all_that_is_there(wished: list[str], available: list[str], known: list[str]) -> tuple[list[str], Reasons]:
    chosen, refused = pick([*wished, *available], available, known)
    return chosen, refused


def one_reason_for_all(wished: list[str], available: list[str], known: list[str]) -> tuple[list[str], Reasons]:
    chosen, refused = pick(wished, available, known)
    return chosen, {name: f"{name} is not available" for name in refused}


def says_nothing_of_what_is_unknown(
    wished: list[str], available: list[str], known: list[str]
) -> tuple[list[str], Reasons]:
    chosen, refused = pick(wished, available, known)
    return chosen, {name: reason for name, reason in refused.items() if name in known}


def gives_no_reason(wished: list[str], available: list[str], known: list[str]) -> tuple[list[str], Reasons]:
    chosen, refused = pick(wished, available, known)
    return chosen, dict.fromkeys(refused, "")


def returns_the_list_alone(wished: list[str], available: list[str], known: list[str]) -> list[str]:
    return pick(wished, available, known)[0]


def empties_the_wishes(wished: list[str], available: list[str], known: list[str]) -> tuple[list[str], Reasons]:
    picked = pick(wished, available, known)
    wished.clear()
    return picked


def asks_the_machine_instead(wished: list[str], available: list[str], known: list[str]) -> tuple[list[str], Reasons]:
    return pick(wished, onnxruntime.get_available_providers(), onnxruntime.get_all_providers())


# open_honestly

Open = Callable[[Any, list[str]], Any]
Opened = tuple[Any, Any, Any]


def honest(path: Any, wished: list[str], open: Open) -> Opened:
    """Right, for the mistakes to build on."""
    session, working, reasons = open(path, [CPU]), [], {}
    for name in wished:
        if name == CPU:
            continue
        try:
            candidate = open(path, [*working, name, CPU])
        except Exception as error:
            reasons[name] = str(error)
            continue
        if name in candidate.get_providers():
            session, working = candidate, [*working, name]
        else:
            reasons[name] = "left out"
    return session, session.get_providers(), reasons


def opens_and_hopes(path: Any, wished: list[str], open: Open) -> Opened:
    return open(path, wished), wished, {}


def claims_what_was_asked(path: Any, wished: list[str], open: Open) -> Opened:
    session, _, reasons = honest(path, wished, open)
    return session, wished, reasons


def notices_silence_only(path: Any, wished: list[str], open: Open) -> Opened:
    session = open(path, wished)
    running = session.get_providers()
    return session, running, {name: "left out" for name in wished if name not in running}


def gives_up_on_the_first_exception(path: Any, wished: list[str], open: Open) -> Opened:
    try:
        return notices_silence_only(path, wished, open)
    except Exception as error:
        session = open(path, [CPU])
        return session, session.get_providers(), {name: str(error) for name in wished if name != CPU}


def stops_at_the_first_that_works(path: Any, wished: list[str], open: Open) -> Opened:
    reasons: Reasons = {}
    for name in wished:
        try:
            session = open(path, [name, CPU])
        except Exception as error:
            reasons[name] = str(error)
            continue
        if name in session.get_providers():
            return session, session.get_providers(), reasons
        reasons[name] = "left out"
    raise RuntimeError("none works")


def overlooks_silence(path: Any, wished: list[str], open: Open) -> Opened:
    working, reasons = [], {}
    for name in wished:
        try:
            open(path, [*working, name])
            working.append(name)
        except Exception as error:
            reasons[name] = str(error)
    session = open(path, working)
    return session, session.get_providers(), reasons


def hides_the_cause(path: Any, wished: list[str], open: Open) -> Opened:
    session, running, reasons = honest(path, wished, open)
    return session, running, dict.fromkeys(reasons, "does not work here")


def keeps_the_reasons_to_itself(path: Any, wished: list[str], open: Open) -> Opened:
    session, running, _ = honest(path, wished, open)
    return session, running, {}


def swallows_every_exception(path: Any, wished: list[str], open: Open) -> Opened:
    try:
        return honest(path, wished, open)
    except Exception as error:
        return None, [], {name: str(error) for name in wished}


def catches_one_kind_only(path: Any, wished: list[str], open: Open) -> Opened:
    session, working, reasons = open(path, [CPU]), [], {}
    for name in wished[:-1]:
        try:
            candidate = open(path, [*working, name, CPU])
        except RuntimeError as error:
            reasons[name] = str(error)
            continue
        except Exception as error:  # "cannot happen"
            return session, session.get_providers(), {other: str(error) for other in wished[:-1]}
        if name in candidate.get_providers():
            session, working = candidate, [*working, name]
        else:
            reasons[name] = "left out"
    return session, session.get_providers(), reasons


def returns_the_session_alone(path: Any, wished: list[str], open: Open) -> Any:
    return honest(path, wished, open)[0]


# options_for


def options(threads: int, spinning: str | None = "0", key: str = "session.intra_op.allow_spinning") -> Any:
    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = threads
    if spinning is not None:
        made.add_session_config_entry(key, spinning)
    return made


def shares(sessions: int, cores: int) -> list[int]:
    return [max(1, cores // sessions + (place < cores % sessions)) for place in range(sessions)]


def all_cores_for_each(sessions: int, cores: int) -> list[Any]:
    return [options(cores) for _ in range(sessions)]


def leaves_the_number_to_the_runtime(sessions: int, cores: int) -> list[Any]:
    return [options(0) for _ in range(sessions)]


def rounds_down_to_nothing(sessions: int, cores: int) -> list[Any]:
    return [options(cores // sessions) for _ in range(sessions)]


def loses_what_is_left_over(sessions: int, cores: int) -> list[Any]:
    return [options(max(1, cores // sessions)) for _ in range(sessions)]


def rounds_up(sessions: int, cores: int) -> list[Any]:
    return [options(-(-cores // sessions)) for _ in range(sessions)]


def one_thread_for_each(sessions: int, cores: int) -> list[Any]:
    return [options(1) for _ in range(sessions)]


def gives_the_rest_to_the_last(sessions: int, cores: int) -> list[Any]:
    each = max(1, cores // sessions)
    return [options(each) for _ in range(sessions - 1)] + [options(max(1, cores - each * (sessions - 1)))]


def forgets_spinning(sessions: int, cores: int) -> list[Any]:
    return [options(threads, spinning=None) for threads in shares(sessions, cores)]


def lets_them_spin(sessions: int, cores: int) -> list[Any]:
    return [options(threads, spinning="1") for threads in shares(sessions, cores)]


def says_false_in_words(sessions: int, cores: int) -> list[Any]:
    return [options(threads, spinning="false") for threads in shares(sessions, cores)]


def stops_the_other_pool_from_spinning(sessions: int, cores: int) -> list[Any]:
    return [options(threads, key="session.inter_op.allow_spinning") for threads in shares(sessions, cores)]


def runs_steps_in_parallel_too(sessions: int, cores: int) -> list[Any]:
    made = [options(threads) for threads in shares(sessions, cores)]
    for each in made:
        each.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    return made


def returns_one_for_all(sessions: int, cores: int) -> Any:
    return options(max(1, cores // sessions))


def returns_numbers(sessions: int, cores: int) -> list[int]:
    return shares(sessions, cores)


# best_threads


def lowest_median(measured: Measured) -> int:
    return min(measured, key=lambda threads: np.median(measured[threads]))


def lowest_mean(measured: Measured) -> int:
    return min(measured, key=lambda threads: measured[threads].mean())


def quickest_single_run(measured: Measured) -> int:
    return min(measured, key=lambda threads: measured[threads].min())


def beaten(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.percentile(other, 75) < np.percentile(one, 25))


def most_that_are_not_beaten(measured: Measured) -> int:
    return max(n for n in measured if not any(beaten(measured[n], other) for other in measured.values()))


def compares_the_full_range(measured: Measured) -> int:
    return min(n for n in measured if not any(other.max() < measured[n].min() for other in measured.values()))


def compares_means_within_five_percent(measured: Measured) -> int:
    quickest = min(seconds.mean() for seconds in measured.values())
    return min(n for n in measured if measured[n].mean() <= 1.05 * quickest)


def stops_at_the_first_that_its_neighbour_does_not_beat(measured: Measured) -> int:
    numbers = [*measured]
    for here, after in pairwise(numbers):
        if not beaten(measured[here], measured[after]):
            return here
    return numbers[-1]


def first_in_the_dictionary_that_is_not_beaten(measured: Measured) -> int:
    return next(n for n in measured if not any(beaten(measured[n], other) for other in measured.values()))


def always_one(measured: Measured) -> int:
    return 1


def returns_the_time(measured: Measured) -> float:
    return float(min(np.median(seconds) for seconds in measured.values()))


# strays


def names_and_providers(events: Events) -> list[tuple[str, str]]:
    nodes = [event for event in events if event["cat"] == "Node"]
    return [(event["name"].removesuffix("_kernel_time"), event["args"]["provider"]) for event in nodes]


def keeps_the_suffix(events: Events, wanted: str) -> dict[str, str]:
    return {f"{name}_kernel_time": given for name, given in names_and_providers(events) if given != wanted}


def strips_letters(events: Events, wanted: str) -> dict[str, str]:
    nodes = [event for event in events if event["cat"] == "Node" and event["args"]["provider"] != wanted]
    ending = "_kernel_time"
    return {event["name"].strip(ending): event["args"]["provider"] for event in nodes}


def cuts_at_the_first_underscore(events: Events, wanted: str) -> dict[str, str]:
    return {name.split("_")[0]: given for name, given in names_and_providers(events) if given != wanted}


def finds_those_that_run_well(events: Events, wanted: str) -> dict[str, str]:
    return {name: given for name, given in names_and_providers(events) if given == wanted}


def counts_the_session_as_a_step(events: Events, wanted: str) -> dict[str, Any]:
    found = {event["name"].removesuffix("_kernel_time"): event["args"].get("provider") for event in events}
    return {name: given for name, given in found.items() if given != wanted}


def looks_for_the_cpu_only(events: Events, wanted: str) -> dict[str, str]:
    return {name: given for name, given in names_and_providers(events) if given == CPU}


def looks_at_the_first_event_only(events: Events, wanted: str) -> dict[str, str]:
    return {name: given for name, given in names_and_providers(events)[:1] if given != wanted}


def shortens_the_providers(events: Events, wanted: str) -> dict[str, str]:
    short = "ExecutionProvider"
    return {name: given.removesuffix(short) for name, given in names_and_providers(events) if given != wanted}


def tells_the_operator(events: Events, wanted: str) -> dict[str, str]:
    nodes = [event for event in events if event["cat"] == "Node" and event["args"]["provider"] != wanted]
    return {event["args"]["op_name"]: event["args"]["provider"] for event in nodes}


def lists_the_names(events: Events, wanted: str) -> list[str]:
    return [name for name, given in names_and_providers(events) if given != wanted]


def finds_nothing(events: Events, wanted: str) -> dict[str, str]:
    return {}


MISTAKES = {
    "pick_providers": {
        grants_every_wish: "only providers that are available",
        takes_the_order_of_the_build: "the order of the wishes",
        loses_the_order_in_a_set: "the order of the wishes",
        leaves_the_cpu_where_it_was: "after all the others",
        forgets_the_cpu_unless_wished: "never an empty list",
        keeps_double_wishes: "once, and nothing unasked",
        takes_all_that_is_there: "nothing unasked",
        one_reason_for_all: "reasons that tell the two apart",
        says_nothing_of_what_is_unknown: "a reason for each wish",
        gives_no_reason: "a sentence that says why",
        returns_the_list_alone: "two things",
        empties_the_wishes: "an argument was changed",
        asks_the_machine_instead: "each wish that is available",
    },
    "open_honestly": {
        opens_and_hopes: "what the session really runs on",
        claims_what_was_asked: "what the session really runs on",
        gives_up_on_the_first_exception: "all that work",
        stops_at_the_first_that_works: "all that work",
        overlooks_silence: "a reason for each wish",
        hides_the_cause: "what the exception said",
        keeps_the_reasons_to_itself: "reasons for none",
        swallows_every_exception: "no exception but tuple",
        catches_one_kind_only: "all that work",
        returns_the_session_alone: "three things",
    },
    "options_for": {
        all_cores_for_each: "no more threads together",
        leaves_the_number_to_the_runtime: "0 means as many",
        rounds_down_to_nothing: "no core left without a thread",
        loses_what_is_left_over: "no core left without a thread",
        rounds_up: "no more threads together",
        one_thread_for_each: "no core left without a thread",
        gives_the_rest_to_the_last: "differ by one thread",
        forgets_spinning: "not set, and ONNX Runtime spins",
        lets_them_spin: "is 1",
        says_false_in_words: "is false",
        stops_the_other_pool_from_spinning: "not set, and ONNX Runtime spins",
        runs_steps_in_parallel_too: "threads of its own",
        returns_one_for_all: "the result is SessionOptions",
        returns_numbers: "what is in the list is int",
    },
    "best_threads": {
        lowest_median: "nothing here beats them",
        lowest_mean: "nothing here beats them",
        quickest_single_run: "nothing here beats them",
        most_that_are_not_beaten: "nothing here beats them",
        compares_the_full_range: "the fewest of those",
        compares_means_within_five_percent: "nothing here beats them",
        stops_at_the_first_that_its_neighbour_does_not_beat: "the fewest of those",
        first_in_the_dictionary_that_is_not_beaten: "the fewest of those",
        always_one: "the fewest of those",
        returns_the_time: "the result is float",
    },
    "strays": {
        keeps_the_suffix: "by their own names",
        strips_letters: "by their own names",
        cuts_at_the_first_underscore: "by their own names",
        finds_those_that_run_well: "by their own names",
        counts_the_session_as_a_step: "by their own names",
        looks_for_the_cpu_only: "by their own names",
        looks_at_the_first_event_only: "by their own names",
        shortens_the_providers: "by ONNX Runtime's name",
        tells_the_operator: "by their own names",
        lists_the_names: "the result is list",
        finds_nothing: "by their own names",
    },
}
