"""What goes wrong in lesson 08."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.errors import UserError
from helpers.runtime import Session
from helpers.store import Store, Stored

Answer = dict[str, Any]
Model = Callable[[np.ndarray], np.ndarray]
Reload = Callable[[], None]


# choose


def approved(store: Store, name: str) -> list[Stored]:
    return store.list(name, labels={"stage": "approved"})


def fitting(store: Store, name: str, at_least: float) -> list[Stored]:
    return [stored for stored in approved(store, name) if stored.record.metadata.get("accuracy", -1) >= at_least]


def first_of(found: list[Stored]) -> str | None:
    return found[0].tag if found else None


def takes_the_latest(store: Store, name: str, at_least: float) -> str:
    return store.get(name).tag


def takes_what_is_in_production(store: Store, name: str, at_least: float) -> str:
    return store.get(f"{name}:prod").tag


def looks_only_at_the_newest_approved(store: Store, name: str, at_least: float) -> str | None:
    newest = store.newest(name, stage="approved")
    return newest.tag if newest.record.metadata.get("accuracy", -1) >= at_least else None


def forgets_the_accuracy(store: Store, name: str, at_least: float) -> str:
    return store.newest(name, stage="approved").tag


def forgets_the_label(store: Store, name: str, at_least: float) -> str | None:
    return first_of([s for s in store.list(name) if s.record.metadata.get("accuracy", -1) >= at_least])


def is_content_with_part_of_the_label(store: Store, name: str, at_least: float) -> str | None:
    found = [s for s in store.list(name) if "approved" in s.record.labels["stage"]]
    return first_of([s for s in found if s.record.metadata.get("accuracy", -1) >= at_least])


def takes_the_most_accurate(store: Store, name: str, at_least: float) -> str | None:
    found = fitting(store, name, at_least)
    return max(found, key=lambda stored: stored.record.metadata["accuracy"]).tag if found else None


def takes_the_oldest(store: Store, name: str, at_least: float) -> str | None:
    return first_of(fitting(store, name, at_least)[::-1])


def sorts_numbers_as_text(store: Store, name: str, at_least: float) -> str | None:
    found = fitting(store, name, at_least)
    return max(found, key=lambda stored: stored.record.version).tag if found else None


def wants_more_than_enough(store: Store, name: str, at_least: float) -> str | None:
    return first_of([s for s in approved(store, name) if s.record.metadata.get("accuracy", -1) > at_least])


def takes_silence_for_zero(store: Store, name: str, at_least: float) -> str | None:
    return first_of([s for s in approved(store, name) if s.record.metadata.get("accuracy", 0) >= at_least])


def returns_the_number(store: Store, name: str, at_least: float) -> str | None:
    found = fitting(store, name, at_least)
    return found[0].record.version if found else None


def returns_what_it_found(store: Store, name: str, at_least: float) -> Stored | None:
    found = fitting(store, name, at_least)
    return found[0] if found else None


def opens_each_model(store: Store, name: str, at_least: float) -> str | None:
    for stored in fitting(store, name, at_least):
        stored.load()
        return stored.tag
    return None


def searches_the_whole_store(store: Store, name: str, at_least: float) -> str | None:
    found = [s for s in store.list(labels={"stage": "approved"}) if s.record.metadata.get("accuracy", -1) >= at_least]
    return first_of(found)


# changes


def named(old: Model, new: Model, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return old(images).argmax(1), new(images).argmax(1)


def right_changes(old: Model, new: Model, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Right, for the mistakes to build on."""
    was, now = named(old, new, images)
    return {
        "broken": np.flatnonzero((was == labels) & (now != labels)),
        "mended": np.flatnonzero((was != labels) & (now == labels)),
        "differ": np.flatnonzero(was != now),
    }


def swaps_old_and_new(old: Model, new: Model, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    return right_changes(new, old, images, labels)


def gives_masks(old: Model, new: Model, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    was, now = named(old, new, images)
    return {
        "broken": (was == labels) & (now != labels),
        "mended": (was != labels) & (now == labels),
        "differ": was != now,
    }


def gives_what_where_returns(old: Model, new: Model, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    return {kind: np.where(mask) for kind, mask in gives_masks(old, new, images, labels).items()}


def counts_them(old: Model, new: Model, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    return {kind: len(places) for kind, places in right_changes(old, new, images, labels).items()}


def takes_each_wrong_answer_for_broken(
    old: Model, new: Model, images: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    _, now = named(old, new, images)
    return right_changes(old, new, images, labels) | {"broken": np.flatnonzero(now != labels)}


def takes_each_wrong_change_for_broken(
    old: Model, new: Model, images: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    was, now = named(old, new, images)
    return right_changes(old, new, images, labels) | {"broken": np.flatnonzero((was != now) & (now != labels))}


def compares_the_scores(old: Model, new: Model, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    differ = np.flatnonzero((old(images) != new(images)).any(1))
    return right_changes(old, new, images, labels) | {"differ": differ}


def forgets_who_is_wrong_twice(old: Model, new: Model, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    found = right_changes(old, new, images, labels)
    return found | {"differ": np.sort(np.concatenate([found["broken"], found["mended"]]))}


def loses_the_order(old: Model, new: Model, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    return {kind: places[::-1] for kind, places in right_changes(old, new, images, labels).items()}


def returns_two_accuracies(old: Model, new: Model, images: np.ndarray, labels: np.ndarray) -> list[float]:
    return [float((answers == labels).mean()) for answers in named(old, new, images)]


def forgets_differ(old: Model, new: Model, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    return {kind: p for kind, p in right_changes(old, new, images, labels).items() if kind != "differ"}


# promote


def in_production(store: Store, name: str) -> str:
    return store.get(f"{name}:prod").record.version


def move(store: Store, name: str, version: str) -> None:
    store.alias(f"{name}:{version}", "prod")


def never_checks_the_files(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    before = in_production(store, name)
    move(store, name, version)
    try:
        reload()
    except Exception:
        move(store, name, before)
        raise
    if before != version:
        past.append(before)


def moves_before_it_checks(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    before = in_production(store, name)
    move(store, name, version)
    try:
        store.get(f"{name}:{version}").verify()
        reload()
    except Exception:
        move(store, name, before)
        raise
    if before != version:
        past.append(before)


def forgets_the_server(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    before = in_production(store, name)
    store.get(f"{name}:{version}").verify()
    move(store, name, version)
    if before != version:
        past.append(before)


def tells_the_server_first(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    before = in_production(store, name)
    store.get(f"{name}:{version}").verify()
    reload()
    move(store, name, version)
    if before != version:
        past.append(before)


def leaves_the_alias_where_it_failed(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    before = in_production(store, name)
    store.get(f"{name}:{version}").verify()
    move(store, name, version)
    reload()
    if before != version:
        past.append(before)


def keeps_the_failure_to_itself(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    before = in_production(store, name)
    store.get(f"{name}:{version}").verify()
    move(store, name, version)
    try:
        reload()
    except OSError:
        move(store, name, before)
        return
    if before != version:
        past.append(before)


def is_silent_about_damage(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    with contextlib.suppress(UserError):
        store.get(f"{name}:{version}").verify()
        never_checks_the_files(store, name, version, past, reload)


def notes_too_early(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    before = in_production(store, name)
    if before != version:
        past.append(before)
    store.get(f"{name}:{version}").verify()
    never_checks_the_files(store, name, version, [], reload)


def notes_before_it_reloads(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    before = in_production(store, name)
    store.get(f"{name}:{version}").verify()
    if before != version:
        past.append(before)
    never_checks_the_files(store, name, version, [], reload)


def notes_the_new_one(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    store.get(f"{name}:{version}").verify()
    never_checks_the_files(store, name, version, [], reload)
    past.append(version)


def notes_the_same_again(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    before = in_production(store, name)
    store.get(f"{name}:{version}").verify()
    never_checks_the_files(store, name, version, [], reload)
    past.append(before)


def makes_a_list_of_its_own(store: Store, name: str, version: str, past: list[str], reload: Reload) -> None:
    before = in_production(store, name)
    store.get(f"{name}:{version}").verify()
    never_checks_the_files(store, name, version, [], reload)
    past = [*past, before]


# roll_back


def is_sound(store: Store, name: str, version: str) -> bool:
    try:
        store.get(f"{name}:{version}").verify()
    except UserError:
        return False
    return True


def back(store: Store, name: str, past: list[str], reload: Reload) -> str:
    """Right, for the mistakes to build on."""
    while past:
        version = past.pop()
        if is_sound(store, name, version):
            move(store, name, version)
            reload()
            return version
    raise LookupError(name)


def changes_places_for_ever(store: Store, name: str, past: list[str], reload: Reload) -> str:
    before = in_production(store, name)
    version = back(store, name, past, reload)
    past.append(before)
    return version


def forgets_to_take_it_out(store: Store, name: str, past: list[str], reload: Reload) -> str:
    return back(store, name, [*past], reload)


def goes_back_to_the_beginning(store: Store, name: str, past: list[str], reload: Reload) -> str:
    past.reverse()
    return back(store, name, past, reload)


def leaves_what_it_passed_over(store: Store, name: str, past: list[str], reload: Reload) -> str:
    for version in reversed(past):
        if is_sound(store, name, version):
            past.remove(version)
            return back(store, name, [version], reload)
    raise LookupError(name)


def gives_up_at_the_first_that_is_damaged(store: Store, name: str, past: list[str], reload: Reload) -> str:
    version = past.pop()
    store.get(f"{name}:{version}").verify()
    return back(store, name, [version], reload)


def serves_what_is_damaged(store: Store, name: str, past: list[str], reload: Reload) -> str:
    version = past.pop()
    move(store, name, version)
    reload()
    return version


def tells_no_server(store: Store, name: str, past: list[str], reload: Reload) -> str:
    return back(store, name, past, lambda: None)


def tells_the_server_too_early(store: Store, name: str, past: list[str], reload: Reload) -> str:
    reload()
    return back(store, name, past, lambda: None)


def tells_the_server_twice(store: Store, name: str, past: list[str], reload: Reload) -> str:
    version = back(store, name, past, reload)
    reload()
    return version


def says_nothing(store: Store, name: str, past: list[str], reload: Reload) -> None:
    back(store, name, past, reload)


def shrugs_at_an_empty_past(store: Store, name: str, past: list[str], reload: Reload) -> str | None:
    try:
        return back(store, name, past, reload)
    except LookupError:
        return None


def counts_one_down(store: Store, name: str, past: list[str], reload: Reload) -> str:
    version = str(int(in_production(store, name)) - 1)
    past[:] = past[:-1]
    move(store, name, version)
    reload()
    return version


# prove


def scores_of(answer: Answer) -> np.ndarray:
    return np.array(answer["outputs"][0]["data"], np.float32)


def named_version(answer: Answer, store: Store) -> Stored | None:
    try:
        return store.get(f"{answer['model_name']}:{answer['model_version']}")
    except UserError:
        return None


def believes_the_answer(answer: Answer, images: np.ndarray, store: Store) -> str | None:
    stored = named_version(answer, store)
    return stored.record.digest if stored else None


def asks_who_is_in_production(answer: Answer, images: np.ndarray, store: Store) -> str | None:
    stored = store.get(f"{answer['model_name']}:prod")
    same = np.allclose(scores_of(answer), stored.load()(images).ravel(), atol=1e-4)
    return stored.record.digest if same else None


def asks_the_latest(answer: Answer, images: np.ndarray, store: Store) -> str | None:
    stored = store.get(answer["model_name"])
    same = np.allclose(scores_of(answer), stored.load()(images).ravel(), atol=1e-4)
    return stored.record.digest if same else None


def wants_the_very_same_numbers(answer: Answer, images: np.ndarray, store: Store) -> str | None:
    stored = named_version(answer, store)
    same = stored is not None and scores_of(answer).tolist() == stored.load()(images).ravel().tolist()
    return stored.record.digest if stored and same else None


def compares_the_digits(answer: Answer, images: np.ndarray, store: Store) -> str | None:
    stored = named_version(answer, store)
    if stored is None:
        return None
    same = scores_of(answer).reshape(-1, 10).argmax(1) == stored.load()(images).argmax(1)
    return stored.record.digest if same.all() else None


def looks_at_the_first_image(answer: Answer, images: np.ndarray, store: Store) -> str | None:
    stored = named_version(answer, store)
    if stored is None:
        return None
    same = np.allclose(scores_of(answer)[:10], stored.load()(images[:1])[0], atol=1e-4)
    return stored.record.digest if same else None


def opens_the_file_unverified(answer: Answer, images: np.ndarray, store: Store) -> str | None:
    stored = named_version(answer, store)
    if stored is None:
        return None
    same = np.allclose(scores_of(answer), Session(stored.path / "model.onnx")(images).ravel(), atol=1e-4)
    return stored.record.digest if same else None


def stumbles_over_what_is_not_there(answer: Answer, images: np.ndarray, store: Store) -> str | None:
    stored = store.get(f"{answer['model_name']}:{answer['model_version']}")
    same = np.allclose(scores_of(answer), stored.load()(images).ravel(), atol=1e-4)
    return stored.record.digest if same else None


def searches_for_whoever_fits(answer: Answer, images: np.ndarray, store: Store) -> str | None:
    for stored in store.list(answer["model_name"]):
        with contextlib.suppress(UserError):
            if np.allclose(scores_of(answer), stored.load()(images).ravel(), atol=1e-4):
                return stored.record.digest
    return None


def right_proof(answer: Answer, images: np.ndarray, store: Store) -> Stored | None:
    with contextlib.suppress(UserError):
        stored = store.get(f"{answer['model_name']}:{answer['model_version']}")
        if np.allclose(scores_of(answer), stored.load()(images).ravel(), atol=1e-4):
            return stored
    return None


def tells_the_number(answer: Answer, images: np.ndarray, store: Store) -> str | None:
    found = right_proof(answer, images, store)
    return found.record.version if found else None


def says_only_yes_or_no(answer: Answer, images: np.ndarray, store: Store) -> bool:
    return right_proof(answer, images, store) is not None


MISTAKES = {
    "choose": {
        takes_the_latest: "a version with the label stage=approved, exactly",
        takes_what_is_in_production: "saved last",
        looks_only_at_the_newest_approved: "since there is an approved version",
        forgets_the_accuracy: "a version whose metadata say enough",
        forgets_the_label: "a version with the label stage=approved, exactly",
        is_content_with_part_of_the_label: "a version with the label stage=approved, exactly",
        takes_the_most_accurate: "saved last",
        takes_the_oldest: "saved last",
        sorts_numbers_as_text: "saved last",
        wants_more_than_enough: "saved last",
        takes_silence_for_zero: "accuracy None",
        returns_the_number: "the tag of a version",
        returns_what_it_found: "the result is Stored",
        opens_each_model: "models were opened",
        searches_the_whole_store: "a version of this model",
    },
    "changes": {
        swaps_old_and_new: "'broken'",
        gives_masks: "'broken' says True or False",
        gives_what_where_returns: "'broken' has 2 axes",
        counts_them: "'broken' has 0 axes",
        takes_each_wrong_answer_for_broken: "images in 'broken'",
        takes_each_wrong_change_for_broken: "images in 'broken'",
        compares_the_scores: "images in 'differ'",
        forgets_who_is_wrong_twice: "images in 'differ'",
        loses_the_order: "not in order",
        returns_two_accuracies: "the result is list",
        forgets_differ: "the entries",
    },
    "promote": {
        never_checks_the_files: "prod stood for version 3",
        moves_before_it_checks: "prod stood for version 3, of whose file one byte was changed, for a moment",
        forgets_the_server: "reload() was not called",
        tells_the_server_first: "when reload() was last called, prod meant 1",
        leaves_the_alias_where_it_failed: "after the server refused version 4 prod means 4",
        keeps_the_failure_to_itself: "what reload() raised was followed by nothing",
        is_silent_about_damage: "nothing was raised for version 3",
        notes_too_early: "after a promotion of 3 that failed",
        notes_before_it_reloads: "after a promotion of 4 that the server refused",
        notes_the_new_one: "after promoting 2 where 1 was",
        notes_the_same_again: "after promoting 2 again",
        makes_a_list_of_its_own: "past is ['0'] after promoting 2",
    },
    "roll_back": {
        changes_places_for_ever: "past is ['1', '2', '3', '4', '6']",
        forgets_to_take_it_out: "past is ['1', '2', '3', '4', '5']",
        goes_back_to_the_beginning: "prod means 1",
        leaves_what_it_passed_over: "past is ['1', '3', '4'] after the second one",
        gives_up_at_the_first_that_is_damaged: "it gives up",
        serves_what_is_damaged: "prod stood for 4",
        tells_no_server: "reload() was not called",
        tells_the_server_too_early: "when reload() was last called, prod meant 6",
        tells_the_server_twice: "reload() was called 2 times",
        says_nothing: "'None' was returned",
        shrugs_at_an_empty_past: "with an empty past: None was returned",
        counts_one_down: "prod stood for 4",
    },
    "prove": {
        believes_the_answer: "that names version 1: the digest of version 1",
        asks_who_is_in_production: "an answer of version 1: None",
        asks_the_latest: "an answer of version 1: None",
        wants_the_very_same_numbers: "scores some millionths away: None",
        compares_the_digits: "names the same digits: the digest of version 3",
        looks_at_the_first_image: "one score of the last image changed: the digest of version 2",
        opens_the_file_unverified: "one byte was changed since: the digest of version 1",
        stumbles_over_what_is_not_there: "no exception",
        searches_for_whoever_fits: "that names version 1: the digest of version 2",
        tells_the_number: "no digest of the store",
        says_only_yes_or_no: "the result is bool",
    },
}
