"""Lesson 08, Models that have versions: five tasks about who is in production, and who was.

Every check has a store of its own with small models of fresh weights. Moves of an alias
and reloads are noted as they happen, so that what is checked is the order of things; the
answers to be proved come from a real server.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from helpers.classroom.checking import Attempt, LearnerRaised, NotYet, task
from helpers.classroom.checks.model_files import folder_of_its_own
from helpers.errors import UserError
from helpers.store import Store, Stored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

SLIPS = (NameError, AttributeError, TypeError, KeyError, IndexError, AssertionError)
MAKER = b"servelab"  # stands in each file, where no weight is


@task(
    "choose",
    title="Find the version that may go to production, without opening any",
    hints=[
        "Everything that is asked for is in the record: labels, metadata, the tag. What lists records?",
        'store.list(name, labels={"stage": "approved"}) gives those with the label, the newest first. '
        "What is left is to look at the accuracy, which a version need not have.",
        'Go through that list; the first one with metadata.get("accuracy", -1) >= at_least is it: return its '
        "tag. After the loop, return None.",
    ],
    learned="Labels and metadata choose among a thousand models, and not one of them is opened.",
)
def choose(attempt: Attempt) -> None:
    from helpers.runtime import session

    with folder_of_its_own() as folder:
        name, store = _name(attempt), Store(folder / "store")
        enough = round(float(attempt.rng.uniform(0.90, 0.93)), 3)
        history: list[tuple[str, float | None]] = [("approved", enough + 0.06)]
        history += [("trial", enough + 0.05)] * 7
        history += [("approved", enough + 0.02), ("approved", enough)]  # 9 and 10
        history += [("approved", 0.5), ("trial", 0.999), ("approved", None), ("not approved", 0.998)]
        for stage, accuracy in history:
            known = {} if accuracy is None else {"accuracy": accuracy}
            store.save(name, _model(attempt), labels={"stage": stage}, metadata=known)
        store.alias(f"{name}:9", "prod")
        store.save(f"{name}-other", _model(attempt), labels={"stage": "approved"}, metadata={"accuracy": 0.9999})
        with mock.patch.object(session, "open_model", wraps=session.open_model) as opened:
            for at_least, wanted in ((enough, "10"), (0.51, "10"), (enough + 0.01, "9"), (0, "11"), (0.9995, None)):
                _expect_chosen(attempt, store, name, at_least, None if wanted is None else f"{name}:{wanted}")
            count = opened.call_count
        attempt.expect(count == 0, f"{count} models were opened", "records that are read, and no model opened")
        store.save(name, _model(attempt), "spring", labels={"stage": "approved"}, metadata={"accuracy": 1})
        _expect_chosen(attempt, store, name, enough, f"{name}:spring")


def _expect_chosen(attempt: Attempt, store: Store, name: str, at_least: float, wanted: str | None) -> None:
    given = attempt.call(store, name, at_least)
    if given is not None:
        attempt.expect_type(given, str, "the result")
    if given == wanted:
        return
    asked = f"for an accuracy of {at_least:.4g} or more: {str(given)[:60]}"
    tags = {stored.tag: stored.record for stored in store.list(name)}
    if given is None:
        raise NotYet(asked, "a tag, since there is an approved version that is accurate enough")
    if given not in tags:
        raise NotYet(asked, "None, or the tag of a version of this model")
    record = tags[given]
    stage, accuracy = record.labels["stage"], record.metadata.get("accuracy")
    told = f"{asked}, which has stage={stage} and accuracy {accuracy}"
    attempt.expect(stage == "approved", told, "a version with the label stage=approved, exactly")
    attempt.expect(accuracy is not None and accuracy >= at_least, told, "a version whose metadata say enough, or None")
    raise NotYet(told, "the one that was saved last of those that fit")


@task(
    "changes",
    title="List which answers a new version breaks, and which it mends",
    hints=[
        "A version names the digit with the highest of its ten scores. First make two arrays of named digits.",
        "Compare each of them with the labels, and both with each other: that gives arrays of True and False. "
        "& joins two of them, ~ turns one over, and np.flatnonzero tells where one is True.",
        "was = old(images).argmax(1), now = new(images).argmax(1). Broken is where was == labels and now != labels, "
        "each in brackets, joined by &. The other two are made alike.",
    ],
    learned="Two versions can be equally accurate and still differ in many answers; the list says in which.",
)
def changes(attempt: Attempt) -> None:
    np, rng = _numpy(), attempt.rng
    for rows, differing in ((60, True), (25, True), (12, False)):
        images = rng.random((rows, 1, 8, 8), dtype="float32")
        labels = rng.integers(0, 10, rows)
        was = np.where(rng.random(rows) < 0.6, labels, (labels + rng.integers(1, 10, rows)) % 10)
        now = np.where(rng.random(rows) < 0.6, labels, (labels + rng.integers(1, 10, rows)) % 10) if differing else was
        if differing:  # whatever was drawn, each kind is there
            was[:4], now[:4] = labels[:4], (labels[:4] + 1) % 10  # broken
            was[4:6], now[4:6] = (labels[4:6] + 2) % 10, labels[4:6]  # mended
            was[6:9], now[6:9] = (labels[6:9] + 3) % 10, (labels[6:9] + 4) % 10  # wrong, both, in two ways
            was[9:11] = now[9:11] = (labels[9:11] + 5) % 10  # wrong, both, in one way
            order = rng.permutation(rows)
            labels, was, now = labels[order], was[order], now[order]
        wanted = {
            "broken": np.flatnonzero((was == labels) & (now != labels)),
            "mended": np.flatnonzero((was != labels) & (now == labels)),
            "differ": np.flatnonzero(was != now),
        }
        given = attempt.call(_Named(images, was, rng), _Named(images, now, rng), images, labels.copy())
        attempt.expect_type(given, dict, "the result")
        attempt.expect(
            given.keys() == wanted.keys(), f"the entries {[*map(str, given)]}", f"the entries {sorted(wanted)}"
        )
        for kind, places in wanted.items():
            _expect_places(attempt, kind, given[kind], places, rows)


def _expect_places(attempt: Attempt, kind: str, given: Any, wanted: Any, rows: int) -> None:
    np = _numpy()
    found = np.asarray(given)
    attempt.expect(
        found.ndim == 1, f"{kind!r} has {found.ndim} axes: {str(given)[:60]}", "positions in one row: one axis"
    )
    attempt.expect(found.dtype != bool, f"{kind!r} says True or False for {len(found)} images", "positions of images")
    if len(found):
        attempt.expect(
            found.dtype.kind in "iu", f"{kind!r} holds {found.dtype}", "positions, which are whole numbers from 0"
        )
    attempt.expect(
        len(found) == len(wanted), f"{len(found)} of {rows} images in {kind!r}", f"{len(wanted)} for what was asked"
    )
    attempt.expect(
        np.array_equal(found, wanted),
        f"{kind!r} holds {len(found)} images, but not the right ones, or not in order",
        "the positions of exactly those images, in order",
    )


@task(
    "promote",
    title="Promote a version so that a failure leaves everything as it was",
    hints=[
        "Four things happen, and their order matters. Which one can fail without anything having been changed?",
        "store.get(tag).verify() raises if the files are not those that were saved; do it before store.alias. "
        "Only then reload(), since it looks at what prod means. What must be undone if that raises?",
        "verify; alias; then reload() in a try, whose except moves the alias back to `before` and says raise; "
        "and at the very end past.append(before), if it is not the same version.",
    ],
    learned="Check, move, tell; and whoever fails on the way leaves the world as it was.",
)
def promote(attempt: Attempt) -> None:
    with folder_of_its_own() as folder:
        name, store = _name(attempt), _Watched(folder / "store")
        for _ in range(5):
            store.save(name, _model(attempt))
        store.alias(f"{name}:1", "prod")
        server, past = _Server(store, name, refuses="4"), ["0"]

        def ask(version: str) -> None:
            attempt.call(store, name, version, past, server.reload)

        ask("2")
        _expect_in_production(attempt, store, server, name, "2", "promoting version 2")
        _expect_past(attempt, past, ["0", "1"], "promoting 2 where 1 was")
        ask("2")
        _expect_past(attempt, past, ["0", "1"], "promoting 2 again, where 2 was already")

        _damage(store.get(f"{name}:3"))
        store.moves.clear()
        error = _error_of(lambda: ask("3"))
        attempt.expect(
            "3" not in store.moves,
            "prod stood for version 3, of whose file one byte was changed"
            + ("" if error is None else ", for a moment"),
            "a version whose files are checked before prod is moved",
        )
        attempt.expect(error, "nothing was raised for version 3, of whose file one byte was changed", "an exception")
        _expect_alias(attempt, store, name, "2", "version 3 was found to be damaged")
        _expect_past(attempt, past, ["0", "1"], "a promotion of 3 that failed")

        error = _error_of(lambda: ask("4"))
        _expect_alias(attempt, store, name, "2", "the server refused version 4")
        _expect_past(attempt, past, ["0", "1"], "a promotion of 4 that the server refused")
        attempt.expect(
            _comes_from(error, server.error),
            f"what reload() raised was followed by {'nothing' if error is None else type(error).__name__}",
            "the error of reload(), raised on",
        )
        ask("5")
        _expect_in_production(attempt, store, server, name, "5", "promoting version 5")
        _expect_past(attempt, past, ["0", "1", "2"], "promoting 5 where 2 was")


@task(
    "roll_back",
    title="Return to the last version that can still be served",
    hints=[
        "past is a stack: its end is where you came from. Take from the end, until you find a version that is sound.",
        "store.get(tag) refuses a version that was removed, .verify() one that is damaged, both with a UserError. "
        "And a list that is empty can be noticed before anything is moved.",
        "while past: pop a version; try get(...).verify(), and continue on UserError; move the alias, reload(), "
        "return the version. After the loop, raise LookupError.",
    ],
    learned="A way back is one step at a time, and passes over what would not hold.",
)
def roll_back(attempt: Attempt) -> None:
    with folder_of_its_own() as folder:
        name, store = _name(attempt), _Watched(folder / "store")
        for _ in range(6):
            store.save(name, _model(attempt))
        store.alias(f"{name}:6", "prod")
        _damage(store.get(f"{name}:4"))
        store.remove(f"{name}:3")
        store.moves.clear()
        past = ["1", "2", "3", "4", "5"]
        for wanted, left, told in (
            ("5", ["1", "2", "3", "4"], "the first roll back, from 6"),
            ("2", ["1"], "the second one, where 4 is damaged and 3 was removed"),
            ("1", [], "the third one"),
        ):
            server = _Server(store, name)
            try:
                given = attempt.call(store, name, past, server.reload)
            except LearnerRaised as raised:
                if isinstance(raised.error, UserError) and wanted == "2":
                    raise NotYet(f"{told}: it gives up, {raised.error.sentence}", "the one before is tried") from None
                raise
            attempt.expect("4" not in store.moves, f"{told}: prod stood for 4", "a version whose files are sound")
            _expect_in_production(attempt, store, server, name, wanted, told)
            attempt.expect(len(server.saw) == 1, f"{told}: reload() was called {len(server.saw)} times", "once")
            _expect_past(attempt, past, left, told)
            attempt.expect(given == wanted, f"{told}: {str(given)[:60]!r} was returned", "the version, as text")
        for nothing, told in (([], "with an empty past"), (["3", "4"], "with nothing sound in past")):
            server = _Server(store, name)
            try:
                given = attempt.call(store, name, nothing, server.reload)
            except LearnerRaised as raised:
                if not isinstance(raised.error, LookupError):
                    raise NotYet(f"{told}: {type(raised.error).__name__}", "a LookupError") from None
            else:
                raise NotYet(f"{told}: {str(given)[:60]} was returned", "a LookupError")
            _expect_alias(attempt, store, name, "1", f"a roll back {told}")
            attempt.expect(not server.saw, f"{told}: reload() was called", "nothing happens but the exception")


@task(
    "prove",
    title="Prove from an answer which bytes gave it",
    hints=[
        "The answer names a model and a version. Together they are a tag, and prod is not needed at all.",
        "Load that version (the store verifies it) and ask it the same images. Its scores have rows; those of the "
        "answer stand in one list. How close must they be? What does the store raise for what it cannot load?",
        "try: store.get of f'{model_name}:{model_version}', and its load()(images); except UserError: return None. "
        "Then np.allclose(claimed, scores.ravel(), atol=1e-4) decides between record.digest and None.",
    ],
    learned="A version that never changes can be asked again: the same bytes, the same answer, the digest as proof.",
)
def prove(attempt: Attempt) -> None:
    from helpers.serving import serve

    with folder_of_its_own() as folder:
        name, store = _name(attempt), Store(folder / "store")
        weights = [_weights(attempt) for _ in range(2)]
        for each in (*weights, 1.5 * weights[1], _weights(attempt)):  # 3 names the same digits as 2
            store.save(name, _model(attempt, each))
        digests = {version: store.get(f"{name}:{version}").record.digest for version in "1234"}
        images = attempt.rng.random((5, 1, 8, 8), dtype="float32")
        store.alias(f"{name}:1", "prod")
        with serve(f"{name}:prod", store=store) as server, server.client as client:
            first = _answer(client, name, images)
            store.alias(f"{name}:2", "prod")
            late = _answer(client, name, images)  # the alias has moved, and the server was not told
            client.http.post(f"/v2/repository/models/{name}/load").raise_for_status()
            second = _answer(client, name, images)
        store.alias(f"{name}:3", "prod")

        def expect(answer: dict[str, Any], wanted: str | None, told: str) -> None:
            _expect_proof(attempt, answer, images, store, wanted, told, digests)

        expect(first, digests["1"], "an answer of version 1")
        expect(late, digests["1"], "an answer of version 1, given when prod meant 2 already")
        expect(second, digests["2"], "an answer of version 2")
        expect(_changed(second, attempt.rng.uniform(-3e-6, 3e-6, 50)), digests["2"], "scores some millionths away")
        expect(second | {"model_version": "1"}, None, "an answer of version 2 that names version 1")
        expect(second | {"model_version": "3"}, None, "an answer of 2 that names 3, which names the same digits")
        off = _numpy().zeros(50)
        off[-7] = 0.1
        expect(_changed(second, off), None, "an answer of 2 with one score of the last image changed")
        expect(second | {"model_version": "99"}, None, "an answer that names a version that never was")
        _damage(store.get(f"{name}:1"))
        expect(first, None, "an answer of version 1, of whose file one byte was changed since")


def _expect_proof(
    attempt: Attempt,
    answer: dict[str, Any],
    images: "Floats",
    store: Store,
    wanted: str | None,
    told: str,
    digests: dict[str, str],
) -> None:
    try:
        given = attempt.call(copy.deepcopy(answer), images.copy(), store)
    except LearnerRaised as raised:
        if isinstance(raised.error, UserError):
            raise NotYet(
                f"{told}: {raised.error.sentence}", "no exception: what cannot be loaded proves nothing"
            ) from (None)
        raise
    if given is not None:
        attempt.expect_type(given, str, f"{told}: the result")
    if given == wanted:
        return
    meant = {digest: f"the digest of version {version}" for version, digest in digests.items()}
    shown = "None" if given is None else meant.get(given, f"{given[:40]!r}, which is no digest of the store")
    raise NotYet(f"{told}: {shown}", "None" if wanted is None else meant[wanted])


# What is in production


class _Watched(Store):
    """A store that notes each version for which an alias ever stood."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.moves: list[str] = []

    def alias(self, tag: str, alias: str) -> Stored:
        stored = super().alias(tag, alias)
        self.moves.append(stored.record.version)
        return stored


class _Server:
    """What reload() reaches: it notes what prod means whenever it is told to look."""

    def __init__(self, store: Store, name: str, refuses: str = "") -> None:
        self.store, self.name, self.refuses = store, name, refuses
        self.saw: list[str] = []
        self.error = OSError(f"the server does not take version {refuses}")

    def reload(self) -> None:
        self.saw.append(self.store.get(f"{self.name}:prod").record.version)
        if self.saw[-1] == self.refuses:
            raise self.error


def _expect_in_production(attempt: Attempt, store: Store, server: _Server, name: str, version: str, after: str) -> None:
    _expect_alias(attempt, store, name, version, after)
    attempt.expect(server.saw, f"after {after} reload() was not called", "a server that is told")
    attempt.expect(
        server.saw[-1] == version,
        f"after {after}: when reload() was last called, prod meant {server.saw[-1]}",
        f"a server that is told when prod means {version} already",
    )


def _expect_alias(attempt: Attempt, store: Store, name: str, version: str, after: str) -> None:
    found = store.get(f"{name}:prod").record.version
    attempt.expect(found == version, f"after {after} prod means {found}", f"prod means {version}")


def _expect_past(attempt: Attempt, past: Sequence[Any], wanted: Sequence[str], after: str) -> None:
    attempt.expect([*past] == [*wanted], f"past is {[*past]} after {after}", f"past is {[*wanted]}")


def _error_of(call: Callable[[], None]) -> BaseException | None:
    """What the learner's code raised on purpose."""
    try:
        call()
    except LearnerRaised as raised:
        if isinstance(raised.error, SLIPS):
            raise
        return raised.error
    return None


def _comes_from(error: BaseException | None, cause: BaseException) -> bool:
    return error is cause or (error is not None and error.__cause__ is cause)


# Models, answers, damage


class _Named:
    """A version that names what it is told to, for each image that it knows, with scores of its own."""

    def __init__(self, images: "Floats", named: Any, rng: Any) -> None:
        scores = rng.random((len(images), 10), dtype="float32")
        scores[range(len(images)), named] += 1
        self.known = {image.tobytes(): row for image, row in zip(images, scores, strict=True)}

    def __call__(self, images: "Floats") -> "Floats":
        rows: Floats = _numpy().stack([self.known[image.tobytes()] for image in images])
        return rows


def _numpy() -> Any:
    import numpy

    return numpy


def _name(attempt: Attempt) -> str:
    return f"model-{int(attempt.rng.integers(100, 1000))}"


def _weights(attempt: Attempt) -> "Floats":
    weights: Floats = attempt.rng.standard_normal((64, 10), dtype="float32")
    return weights


def _model(attempt: Attempt, weights: "Floats | None" = None) -> bytes:
    """An ONNX file that scores images with one layer."""
    from onnx import TensorProto, helper, numpy_helper

    chosen = _weights(attempt) if weights is None else weights.astype("float32")
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["rows"]),
            helper.make_node("MatMul", ["rows", "weights"], ["scores"]),
        ],
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(chosen, "weights")],
    )
    model = helper.make_model(
        graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)], producer_name=MAKER.decode()
    )
    made: bytes = model.SerializeToString()
    return made


def _damage(stored: Stored) -> None:
    """Change one byte that no answer depends on: only the digest can tell."""
    path = stored.path / "model.onnx"
    path.write_bytes(path.read_bytes().replace(MAKER, MAKER.upper()[:1] + MAKER[1:], 1))


def _answer(client: Any, name: str, images: "Floats") -> dict[str, Any]:
    tensor = {"name": "images", "datatype": "FP32", "shape": images.shape, "data": images.ravel().tolist()}
    answer = client.http.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
    told: dict[str, Any] = answer.raise_for_status().json()
    return told


def _changed(answer: dict[str, Any], by: Any) -> dict[str, Any]:
    changed = copy.deepcopy(answer)
    output = changed["outputs"][0]
    output["data"] = (_numpy().array(output["data"]) + by).tolist()
    return changed
