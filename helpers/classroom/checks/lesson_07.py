"""Lesson 07, A first service: five tasks at the counter.

Each check starts a small server in this process with what the learner wrote, around a
model that takes notes, and asks it as strangers would. What the learner's code raises
inside the server is told as theirs. No clock decides: where something must not wait for
something else, a gate stands between the two.
"""

import contextlib
import functools
import inspect
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from helpers.classroom.checking import Attempt, LearnerRaised, NotYet, task
from helpers.classroom.checks.model_files import CLOSE, first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from helpers.serving import Server

JSON, NPY, CSV, EVENTS = "application/json", "application/x-npy", "text/csv", "text/event-stream"
PATIENCE = 3.0  # seconds until a gate opens for who does not come; nobody who is right waits for it
LONGEST = 30.0  # seconds for a whole answer
_NOTHING: Any = object()


@task(
    "typed",
    title="Type the API, so that a wrong tensor never reaches the model",
    hints=[
        "The class has no __init__ to write: its method sees the model of the function around it. What stands "
        "before the class, and what before the method?",
        "The lecture's ServeLab service has the types, of the question and of the answer. An axis of any size has "
        "a name, the others a number.",
        "@service before class Digits, @api before classify; images is Tensor['float32', 'batch', …] with the three "
        "sizes, the arrow leads to a Tensor of two axes; the body returns model(images), and the function the class.",
    ],
    learned="The type at the door checks, describes and names the field; the model sees only what it can use.",
)
def typed(attempt: Attempt) -> None:
    import numpy as np

    model = _Model(attempt)
    with _served(attempt, "classify", model) as server:
        ask = _Asking(attempt, server, "/classify", model)
        for rows in (1, 5, 2):
            images = attempt.rng.random((rows, 1, 8, 8), dtype=np.float32)
            wanted = model.answers(images)
            for kind in (JSON, NPY):
                answer = ask(_json_of(images) if kind == JSON else _npy_of(images), kind)
                about = f"{rows} image{'s' * (rows > 1)} in {kind}"
                _expect_answered(attempt, answer, about)
                came = _kind_of(answer)
                attempt.expect(
                    came == kind,
                    f"{about} are answered in {came or 'nothing'}",
                    "the same form; for numpy's bytes the answer needs a type as well",
                )
                _expect_scores(attempt, answer, wanted, about)
        right = attempt.rng.random((2, 1, 8, 8), dtype=np.float32)
        for about, content, kind, blamed in (
            ("images of 9 by 9", _json_of(np.zeros((2, 1, 9, 9))), JSON, ["images"]),
            ("images of 4 by 16", _json_of(np.zeros((2, 1, 4, 16))), JSON, ["images"]),
            ("images without the axis of the channel", _json_of(right[:, 0]), JSON, ["images"]),
            ("images of three channels", _npy_of(np.zeros((2, 3, 8, 8), np.float32)), NPY, ["images"]),
            ("a list without images", _json_of(right[:0]), JSON, ["images"]),
            ("words in place of numbers", b'{"images": [[[["dark"]]]]}', JSON, ["images"]),
            ("numbers in quotes", _json_of(right.astype(str)), JSON, ["images"]),
            ("float64 in numpy's bytes", _npy_of(right.astype(np.float64)), NPY, ["images"]),
            ("a field called image", _json_of(right).replace(b"images", b"image"), JSON, ["images", "image"]),
        ):
            _expect_refused(attempt, ask(content, kind), about, blamed)


@task(
    "refuse",
    title="Refuse pixels that no type can refuse, and say which",
    hints=[
        "nan is neither larger nor smaller than anything. Ask which values are inside, and not which are outside.",
        "inside = (images >= 0) & (images <= 1). The images with all values inside are inside.all((1, 2, 3)); the "
        "position of the first that is not comes from np.flatnonzero.",
        "raise invalid('images', …, …): the first text with the position and one wrong value of that image, the "
        "second with both ends of the range. Nothing is returned, and nothing raised, if all is well.",
    ],
    learned="A refusal that helps names the field, the place and the value, and says what would have been right.",
)
def refuse(attempt: Attempt) -> None:
    import numpy as np

    for rows, wrong in (
        (1, {}),
        (6, {}),
        (1, {0: 255.0}),
        (7, {5: 203.0}),
        (9, {4: -0.375}),
        (8, {3: 17.5, 6: 140.0}),
        (12, {10: np.nan}),
        (6, {2: np.inf}),
        (30, {27: 1.5}),
    ):
        images = attempt.rng.random((rows, 1, 8, 8), dtype=np.float32)
        images[:, 0, 0, :3] = -0.0, 0, 1  # the ends belong to it
        for position, value in wrong.items():
            images[position, 0, *attempt.rng.integers(1, 8, 2)] = value
        given_in = images.copy()
        about = f"{rows} image{'s' * (rows > 1)}, " + (
            ", ".join(f"number {position} with a pixel of {value:g}" for position, value in wrong.items())
            or "all values from 0 to 1"
        )
        refusal = _refusal(attempt, about, images)
        attempt.expect(
            np.array_equal(images, given_in, equal_nan=True), f"{about}: the images were changed", "them as they were"
        )
        if not wrong:
            attempt.expect(refusal is None, f"{about}: refused with {str(refusal)!r}", "no refusal")
            continue
        attempt.expect(refusal is not None, f"{about}: nothing was raised", "a refusal")
        _expect_it_helps(attempt, refusal, about, *next(iter(wrong.items())))


@task(
    "quote",
    title="Serve a table of parcels, priced by columns",
    hints=[
        "A type for the parameter and one for the answer: Table[{…}] with a name and a type for each column.",
        "For your method a table is a dictionary of arrays. rows['grams'] is a whole column, and price takes whole "
        "columns.",
        "The types are 'str', 'float32' and 'int64'. Return {'parcel': rows['parcel'], 'price': price(…)} with the "
        "two columns in it.",
    ],
    learned="A table is checked name by name and type by type, and computed by columns: one call, however long it is.",
)
def quote(attempt: Attempt) -> None:
    price = _Price(attempt)
    with _served(attempt, "quote", price) as server:
        _expect_prices_in_float32(attempt, _spec(server).apis["quote"].result)
        ask = _Asking(attempt, server, "/quote", price)
        for rows, kind in ((1, CSV), (6, CSV), (5, JSON), (40, CSV)):
            parcels = _parcels(attempt, rows)
            wanted = price.answers([each["grams"] for each in parcels], [each["zone"] for each in parcels])
            before = price.calls
            content = _csv_of(parcels, attempt) if kind == CSV else _encoded({"rows": parcels})
            about = f"a table of {rows} row{'s' * (rows > 1)} in {kind}"
            answer = ask(content, kind)
            _expect_answered(attempt, answer, about)
            _expect_quotes(attempt, answer, parcels, wanted, about)
            calls = price.calls - before
            attempt.expect(calls == 1, f"{about}: price was called {calls} times", "one call for all rows of a table")
            attempt.expect(
                price.given == ("float32", "int64"),
                f"{about}: price was given grams as {price.given[0]} and zones as {price.given[1]}",
                "float32 and int64, as the columns are",
            )
        for about, content, kind in (
            ("a table without a zone", b"parcel,grams\nA1,250\n", CSV),
            ("a table with a column too many", b"parcel,grams,zone,colour\nA1,250,1,red\n", CSV),
            ("grams that are no number", b"parcel,grams,zone\nA1,25O,1\n", CSV),
            ("a zone of 1.5", b"parcel,grams,zone\nA1,250,1.5\n", CSV),
            ("a row without grams", _encoded({"rows": [{"parcel": "A1", "zone": 1}]}), JSON),
            ("a parcel that is no text", _encoded({"rows": [{"parcel": 1, "grams": 250, "zone": 1}]}), JSON),
        ):
            _expect_refused(attempt, ask(content, kind), about, ["rows"])


@task(
    "ask_all",
    title="Ask many at once, in order, and not too many",
    hints=[
        "asyncio.gather takes coroutines and gives their results in order. What would keep the sixth from asking "
        "while five are on their way?",
        "An asyncio.Semaphore(at_once) lets so many into its async with block. A refusal must be caught where the one "
        "question is asked, or it ends them all.",
        "Inside async with AsyncClient(address) as client, write async def ask(number): async with places, try to "
        "return await client.owner(number=number), and return the ServiceError that you catch. Then gather them all.",
    ],
    learned="Bounded, ordered, and one refusal is one refusal: that is a caller whom servers like.",
)
def ask_all(attempt: Attempt) -> None:
    for count, at_once in ((12, 4), (7, 1), (3, 8), (0, 3)):
        numbers = [int(number) for number in attempt.rng.permutation(1000)[:count]]
        refused = set(numbers[1::5])
        registry = _Registry(attempt, min(at_once, count), refused)
        about = f"{count} numbers, at most {at_once} at once"
        with _running(registry.service()) as server:
            given = _awaited(attempt, server.address, list(numbers), at_once)
        attempt.expect(isinstance(given, list | tuple), f"{about}: {_of(given)}", "a list of answers")
        attempt.expect(
            sorted(registry.asked) == sorted(numbers),
            f"{about}: {len(registry.asked)} questions, about {len({*registry.asked})} different numbers",
            "one question about each",
        )
        attempt.expect(
            registry.most <= at_once,
            f"{about}: {registry.most} questions were on their way at one time",
            f"at most {at_once}",
        )
        attempt.expect(
            not registry.gave_up,
            f"{about}: never more than {registry.most} on their way at one time",
            "as many as are allowed, as long as there are enough",
        )
        attempt.expect(len(given) == count, f"{about}: {len(given)} answers", "one for each number")
        _expect_owners(attempt, given, numbers, refused, registry, about)


@task(
    "stream",
    title="Stream a digit as soon as it is known",
    hints=[
        "A method that yields is a generator, and the engine sends each item when it is there. What must not "
        "happen before the first yield?",
        "Ask the model about one image at a time. images[0] has one axis too few for it; images[0:1] has not.",
        "For each place in range(len(images)): ask the model about images[place : place + 1], and yield a dictionary "
        "with place and int(scores.argmax()). Annotate the answer as Iterator[dict[str, int]].",
    ],
    learned="A generator sends while it works: the first item is there long before the last is known.",
)
def stream(attempt: Attempt) -> None:
    import numpy as np

    for rows in (4, 1):
        model = _Model(attempt, gated=rows > 1)
        with _served(attempt, "read", model) as server:
            attempt.expect(
                _spec(server).apis["read"].streams,
                "read gives all of its answer at once",
                "an API that is a generator",
            )
            images = attempt.rng.random((rows, 1, 8, 8), dtype=np.float32)
            about = f"{rows} image{'s' * (rows > 1)}"
            items = _streamed(attempt, server, model, images, about)
            wanted = [{"place": place, "digit": int(each.argmax())} for place, each in enumerate(model.answers(images))]
            attempt.expect(len(items) == rows, f"{about}: {len(items)} items", "one for each image")
            for place, (item, right) in enumerate(zip(items, wanted, strict=True)):
                attempt.expect(
                    item == right and all(type(value) is int for value in item.values()),
                    f"{about}: item {place} is {_short(item)}",
                    "place and digit, as whole numbers: the place of the image, and its largest score's",
                )
            attempt.expect(
                not model.gave_up,
                f"{about}: the model was asked about {model.largest_seen} before the caller had the first digit",
                "the first digit on its way before the model is asked about the next image",
            )
            bad = _json_of(np.zeros((2, 1, 9, 9)))
            _expect_refused(
                attempt, _Asking(attempt, server, "/read", model)(bad, JSON), "images of 9 by 9", ["images"]
            )


# Models and others that take notes


class _Model:
    """Ten scores for each image, by weights that are drawn anew. It takes what a real one takes, and notes it."""

    def __init__(self, attempt: Attempt, gated: bool = False) -> None:
        import numpy as np

        self.weights = attempt.rng.normal(0, 1, (64, 10)).astype(np.float32)
        self.calls = 0
        self.rows_seen = 0
        self.largest_seen = 0
        self.gated = gated
        self.first_is_there = threading.Event()
        self.gave_up = False

    def answers(self, images: "NDArray[np.float32]") -> "NDArray[np.float32]":
        scores: NDArray[np.float32] = images.reshape(len(images), 64) @ self.weights
        return scores

    def __call__(self, images: Any) -> Any:
        import numpy as np

        self.calls += 1
        array = np.asarray(images)
        if array.dtype != np.float32 or array.shape[1:] != (1, 8, 8) or not len(array):
            raise ValueError(f"matrices do not fit: {array.dtype} of shape {array.shape}")
        self.rows_seen += len(array)
        if self.gated and self.rows_seen > 1 and not self.gave_up:
            self.gave_up = not self.first_is_there.wait(PATIENCE)
            self.largest_seen = self.rows_seen if self.gave_up else 0
        return self.answers(array)


class _Price:
    """A price for each parcel, from whole columns."""

    def __init__(self, attempt: Attempt) -> None:
        self.base, self.rate = map(float, attempt.rng.uniform(1, 3, 2))
        self.calls = 0
        self.given = "", ""

    def answers(self, grams: Any, zones: Any) -> "NDArray[np.float32]":
        import numpy as np

        prices: NDArray[np.float32] = (self.base + self.rate * np.asarray(grams) / 100 * np.asarray(zones)).astype(
            np.float32
        )
        return prices

    def __call__(self, grams: Any, zones: Any) -> Any:
        import numpy as np

        self.calls += 1
        self.given = str(np.asarray(grams).dtype), str(np.asarray(zones).dtype)
        return self.answers(grams, zones)


@dataclass
class _Registry:
    """Owners by number. It waits for company: for as many questions at one time as it was told to expect."""

    attempt: Attempt
    expected: int
    refused: set[int]
    asked: list[int] = field(default_factory=list)
    inside: int = 0
    most: int = 0
    gave_up: bool = False
    were_enough: bool = False

    def __post_init__(self) -> None:
        self.word = f"customer {self.attempt.rng.integers(1000)}"

    def owner_of(self, number: int) -> str:
        return f"{self.word}-{number}"

    def service(self) -> type:
        import asyncio

        from helpers.engine import api, invalid, service

        registry = self

        class Registry:
            async def owner(self, number: int) -> str:
                registry.asked.append(number)
                registry.inside += 1
                registry.most = max(registry.most, registry.inside)
                try:
                    await registry.company()
                    await asyncio.sleep(0.002 * (number % 7))  # they come back in another order
                finally:
                    registry.inside -= 1
                if number in registry.refused:
                    raise invalid("number", str(number), "a number that someone owns")
                return registry.owner_of(number)

        Registry.owner = api(Registry.owner)  # type: ignore[method-assign]
        marked: type = service(Registry)
        return marked

    async def company(self) -> None:
        import asyncio

        ends = time.monotonic() + PATIENCE
        while not self.were_enough and not self.gave_up:
            if self.inside >= self.expected:
                await asyncio.sleep(0.15)  # if more are on their way than should be, let them come
                self.were_enough = True
            elif time.monotonic() > ends:
                self.gave_up = True
            else:
                await asyncio.sleep(0.005)


# Servers of what the learner wrote


class _Log(logging.Handler):
    """Keeps what goes wrong inside a server, which would be written on the page."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.errors.append(record.exc_info[1])


_log = _Log()


@contextlib.contextmanager
def _running(*classes: type) -> "Iterator[Server]":
    from helpers.engine.logs import log
    from helpers.serving import serve

    _log.errors.clear()
    propagates, log.propagate = log.propagate, False
    log.addHandler(_log)
    try:
        with serve(*classes) as server:
            yield server
    finally:
        log.removeHandler(_log)
        log.propagate = propagates


@contextlib.contextmanager
def _served(attempt: Attempt, api: str, *arguments: Any) -> "Iterator[Server]":
    """The service that the learner's function makes, on a port."""
    from helpers.engine.service import spec_of
    from helpers.errors import UserError

    made = attempt.call(*arguments)
    spec = spec_of(made)
    attempt.expect(spec is not None, f"the function returns {_of(made)}", "the class of a @service")
    attempt.expect(api in spec.apis, f"a service with {', '.join(spec.apis)}", f"an API called {api}")  # type: ignore[union-attr]
    attempt.expect(
        spec.apis[api].keep is None,  # type: ignore[union-attr]
        f"{api} is a long-running task",
        "an API, which answers",
    )
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(_running(made))
        except UserError as error:
            raise NotYet(f"the service does not start: {error.sentence}", "one that does") from None
        yield server


def _spec(server: "Server") -> Any:
    from helpers.engine.service import spec_of

    return spec_of(server.targets[0])


@dataclass
class _Asking:
    """Asks one path, and minds who is at fault when it goes wrong."""

    attempt: Attempt
    server: "Server"
    path: str
    notes: Any  # the model, which counts its calls

    def __call__(self, content: bytes, kind: str) -> Any:
        import httpx

        _log.errors.clear()
        before = self.notes.calls
        try:
            answer = self.server.client.http.post(
                self.path, content=content, headers={"content-type": kind}, timeout=LONGEST
            )
        except httpx.HTTPError as error:
            raise NotYet(f"the server did not answer: {first_line(error)}", "an answer") from None
        answer.reached_the_model = self.notes.calls > before  # type: ignore[attr-defined]
        return answer


def _expect_answered(attempt: Attempt, answer: Any, about: str) -> None:
    if answer.status_code == 500 and _log.errors:
        _blame(attempt, about, _log.errors[-1])
    attempt.expect(
        answer.status_code == 200,
        f"{about}: {answer.status_code}, {_told(answer)}",
        "an answer, since nothing is wrong with it",
    )


def _expect_refused(attempt: Attempt, answer: Any, about: str, blamed: Sequence[str]) -> None:
    """A 422 that names the field, and nobody inside who was troubled with it."""
    attempt.expect(
        not answer.reached_the_model,
        f"{about} got through to the inside, and were answered with {answer.status_code}",
        "a refusal at the door",
    )
    attempt.expect(
        answer.status_code == 422,
        f"{about}: {answer.status_code}, {_told(answer)}",
        "a refusal with 422: the caller's mistake, and not the server's",
    )
    named = str(answer.json().get("field", ""))
    attempt.expect(
        named in blamed or re.split(r"[.\[]", named)[0] in blamed,
        f"{about}: refused, and the field that is named is {named or 'none'}",
        f"the field {blamed[0]}",
    )


def _blame(attempt: Attempt, about: str, error: BaseException) -> None:
    """What was raised inside the server: in the learner's lines, or because of what they promise."""

    def again(*_: Any, **__: Any) -> None:
        raise error

    try:
        with contextlib.suppress(NotYet):
            attempt.call_other(_as_theirs(attempt, again), *([None] * _parameters(attempt.answer)))
    except LearnerRaised as raised:
        if raised.where:
            raise
    raise NotYet(f"{about}: the server answered 500, because {first_line(error)}", "an answer")


def _as_theirs(attempt: Attempt, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose failures are told as the learner's: its lines are looked for in their notebook."""
    return functools.wraps(attempt.answer)(function)


def _parameters(function: Any) -> int:
    try:
        return len(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return 1


def _awaited(attempt: Attempt, *arguments: Any) -> Any:
    """What the learner's coroutine returns, on a loop of its own."""
    import asyncio

    from helpers.bench.load import in_a_thread

    attempt.expect(callable(attempt.answer), f"{_of(attempt.answer)}, which cannot be called", "a function")

    async def wait() -> Any:
        made = attempt.answer(*arguments)
        if not inspect.isawaitable(made):
            return _NOTHING
        async with asyncio.timeout(LONGEST):
            return await made

    given = attempt.call_other(_as_theirs(attempt, lambda *_: in_a_thread(wait)), *arguments)
    attempt.expect(given is not _NOTHING, "a function that is not awaited", "a coroutine: async def")
    return given


def _streamed(attempt: Attempt, server: "Server", model: _Model, images: Any, about: str) -> list[Any]:
    """The items as they come; with the first, the model's gate opens."""
    from helpers.serving import ServiceError

    items: list[Any] = []
    try:
        for item in server.client.stream("read", images=images):
            items.append(item)
            model.first_is_there.set()
    except ServiceError as error:
        if _log.errors:
            _blame(attempt, about, _log.errors[-1])
        raise NotYet(f"{about}: after {len(items)} items {error}", "a stream that comes to its end") from None
    return items


# What is asked, and what is answered


def _json_of(images: Any) -> bytes:
    return _encoded({"images": images.tolist()})


def _npy_of(array: Any) -> bytes:
    import io

    import numpy as np

    written = io.BytesIO()
    np.save(written, array)
    return written.getvalue()


def _encoded(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()


def _kind_of(answer: Any) -> str:
    return str(answer.headers.get("content-type", "")).partition(";")[0]


def _expect_scores(attempt: Attempt, answer: Any, wanted: "NDArray[np.float32]", about: str) -> None:
    import io

    import numpy as np

    try:
        if _kind_of(answer) == NPY:
            scores = np.load(io.BytesIO(answer.content), allow_pickle=False)
        else:
            scores = np.asarray(answer.json(), np.float32)
    except (ValueError, TypeError):
        raise NotYet(f"{about}: {_told(answer)}", "ten scores for each image") from None
    attempt.expect(
        scores.shape == wanted.shape and np.abs(scores - wanted).max() < CLOSE,
        f"{about}: numbers of shape {scores.shape}"
        + (", and others than the model gives" if scores.shape == wanted.shape else ""),
        f"the model's scores, of shape {wanted.shape}",
    )


def _parcels(attempt: Attempt, rows: int) -> list[dict[str, Any]]:
    codes = attempt.rng.permutation(900)[:rows] + 100
    return [
        {
            "parcel": f"{letter}{code}, fragile" if code % 3 == 0 else f"{letter}{code}",
            "grams": float(attempt.rng.integers(50, 2000)),
            "zone": int(attempt.rng.integers(1, 6)),
        }
        for letter, code in zip(attempt.rng.choice([*"KMPZ"], rows), codes, strict=True)
    ]


def _csv_of(parcels: Sequence[dict[str, Any]], attempt: Attempt) -> bytes:
    """The columns in any order, as spreadsheets have them."""
    import csv
    import io

    names = attempt.rng.permutation([*parcels[0]]).tolist()
    written = io.StringIO()
    writer = csv.DictWriter(written, names)
    writer.writeheader()
    writer.writerows(parcels)
    return written.getvalue().encode()


def _expect_prices_in_float32(attempt: Attempt, promised: Any) -> None:
    from helpers.wire.values import TableValue

    attempt.expect(
        isinstance(promised, TableValue), "no table in the type of the answer", "the columns of the answer in its type"
    )
    told = {name: "text" if dtype.kind == "O" else str(dtype) for name, dtype in promised.columns.items()}
    attempt.expect(
        told == {"parcel": "text", "price": "float32"}, f"an answer of {told}", "parcel as text, price as float32"
    )


def _expect_quotes(attempt: Attempt, answer: Any, parcels: Any, wanted: Any, about: str) -> None:
    import csv
    import io

    came = _kind_of(answer)
    if came == CSV:
        found = [*csv.DictReader(io.StringIO(answer.text))]
    else:
        found = answer.json() if isinstance(answer.json(), list) else [answer.json()]
    asked_in_csv = "text/csv" in about
    attempt.expect(
        came == (CSV if asked_in_csv else JSON),
        f"{about} is answered in {came or 'nothing'}",
        "an answer in the same form, which needs the type of a table",
    )
    attempt.expect(
        len(found) == len(parcels) and all(isinstance(each, dict) for each in found),
        f"{about}: {len(found)} rows come back",
        "a row for each",
    )
    attempt.expect(
        all(each.keys() == {"parcel", "price"} for each in found),
        f"{about}: columns {', '.join(map(str, found[0]))}",
        "the columns parcel and price",
    )
    attempt.expect(
        [each["parcel"] for each in found] == [each["parcel"] for each in parcels],
        f"{about}: the parcels {_short([each['parcel'] for each in found])}",
        "the parcels in the order of the rows",
    )
    prices = [each["price"] for each in found]
    right = [
        _is_number(price) and abs(float(price) - value) < 0.01 for price, value in zip(prices, wanted, strict=True)
    ]
    attempt.expect(all(right), f"{about}: prices {_short(prices)}", f"what price says: {_short([*map(float, wanted)])}")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _refusal(attempt: Attempt, about: str, images: Any) -> Any:
    """The EngineError that the learner's function raises, or None."""
    from helpers.engine import EngineError

    try:
        given = attempt.call(images)
    except LearnerRaised as raised:
        if isinstance(raised.error, EngineError):
            return raised.error
        raise
    attempt.expect(
        not isinstance(given, EngineError), f"{about}: a refusal that is returned", "one that is raised: raise …"
    )
    attempt.expect(given is None, f"{about}: the function returns {_of(given)}", "nothing, or a refusal that is raised")
    return None


def _expect_it_helps(attempt: Attempt, refusal: Any, about: str, position: int, value: float) -> None:
    import math

    said = f"{about}: refused with {str(refusal)!r}"
    attempt.expect(
        refusal.status == 422,
        f"{said}, with the status {refusal.status}",
        "422: the request was understood, and its values cannot be used",
    )
    attempt.expect(refusal.field == "images", f"{said}, and the field {refusal.field}", "the field images")
    attempt.expect(
        isinstance(refusal.expected, str)
        and {"0", "1"} <= {each.removesuffix(".0") for each in re.findall(r"\d+(?:\.\d+)?", refusal.expected)},
        f"{said}, expected {refusal.expected!r}",
        "both ends of the range in what was expected",
    )
    given = str(refusal).partition("expected")[0]
    told = _numbers_in(given)
    attempt.expect(str(position) in told, said, "the position of the first image that is wrong, counted from 0")
    if math.isnan(value):
        attempt.expect("nan" in given.lower(), said, "that it has a nan")
    elif math.isinf(value):
        attempt.expect("inf" in given.lower(), said, "one value that is out of range")
    else:
        near = max(0.1 * abs(value), 0.06)  # rounded, it is the same value
        attempt.expect(
            any(abs(float(each) - value) <= near for each in told), said, "one value of that image that is out of range"
        )


def _numbers_in(text: str) -> set[str]:
    """The numbers of a text: 0 also where it says 0.0."""
    found = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", text)
    return {each.removesuffix(".0") for each in found}


def _expect_owners(
    attempt: Attempt, given: Any, numbers: Sequence[int], refused: set[int], registry: _Registry, about: str
) -> None:
    from helpers.serving import ServiceError

    for place, (answer, number) in enumerate(zip(given, numbers, strict=True)):
        if number in refused:
            attempt.expect(
                isinstance(answer, ServiceError),
                f"{about}: in place {place}, whose number was refused, {_of(answer)}",
                "the ServiceError there",
            )
            attempt.expect(
                str(number) in str(answer),
                f"{about}: in place {place}, of number {number}, the refusal {str(answer)!r}",
                "the refusal of this number",
            )
        else:
            attempt.expect(
                answer == registry.owner_of(number),
                f"{about}: in place {place}, of number {number}, {_of(answer)}",
                f"the answer about {number}: the order of the numbers",
            )


def _told(answer: Any) -> str:
    if answer.status_code == 500 and _log.errors:
        return f"because {first_line(_log.errors[-1])}"
    return _short(answer.text)


def _of(value: Any) -> str:
    return f"{type(value).__name__} {_short(value)}"


def _short(value: Any, limit: int = 90) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
