"""Lesson 00, Welcome: four tasks about a server that is there already.

The first is tried against a real server with a model that nobody has seen before; what
it was asked, and how it refused, is written down on the way. The others work on text and
lists, and are compared with SciPy and with Prometheus' own reader.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.classroom.checking import Attempt, LearnerRaised, NotYet, task
from helpers.classroom.checks.model_files import CLOSE, folder_of_its_own

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from helpers.serving.app import Route
    from helpers.serving.exchange import Answer, Request

SHARES_CLOSE = 1e-3  # in float32, scores of 900 leave no more


@task(
    "ask",
    title="Ask a served model for the scores of an image",
    hints=[
        "httpx.post(url, json=…) sends a dictionary as JSON. The url is the address and the path behind it. What does "
        "answer.json() give you?",
        "The input's name is images, its datatype FP32, and its shape has four numbers: one image is a batch of one. "
        "image.ravel().tolist() is a list that JSON knows.",
        'Send {"inputs": [{"name": …, "shape": …, "datatype": …, "data": …}]}, and return the list that lies in the '
        "answer under outputs, the first of them, data.",
    ],
    learned="A served model is asked in agreed words: whoever knows them needs neither Python nor the model.",
)
def ask(attempt: Attempt) -> None:
    import numpy as np

    for _ in range(2):  # another server at another address, with another model
        with _served(attempt) as (address, answers, seen):
            for _ in range(2):
                image = attempt.rng.random((1, 8, 8), dtype=np.float32)
                wanted = answers(image[None])[0]
                seen.clear()
                given = _asked(attempt, seen, address, image.copy())
                attempt.expect(
                    seen.questions,
                    f"{_of(given)}, and the server was not asked",
                    "a question to the address that is given",
                )
                _expect_no_refusal(seen)
                scores = _numbers(attempt, given)
                shares = np.exp(wanted - wanted.max())
                attempt.expect(
                    np.abs(scores - shares / shares.sum()).max() > CLOSE,
                    "numbers that add up to 1",
                    "the scores, as the server gives them",
                )
                attempt.expect(
                    np.abs(scores - wanted).max() < CLOSE,
                    f"scores that are up to {np.abs(scores - wanted).max():.2g} away from the model's for this image",
                    "the model's own: each pixel at its place, with its value",
                )
                attempt.expect(
                    seen.questions == 1, f"{seen.questions} questions for one image", "one question, and its answer"
                )


@task(
    "likeliest",
    title="Find the likeliest classes and their probabilities",
    hints=[
        "np.exp works on a whole array. What must the powers be divided by, so that they add up to one?",
        "If the same number is taken away from all scores, the shares stay as they are. Which number makes the largest "
        "power 1, so that nothing overflows?",
        "powers = np.exp(np.array(scores) - max(scores)), shares = powers / powers.sum(). np.argsort sorts upwards; "
        "sort the negative shares, and take as many places as are asked for.",
    ],
    learned="Scores are compared and shares are reported; take the largest score away, and no power overflows.",
)
def likeliest(attempt: Attempt) -> None:
    import numpy as np
    from scipy.special import softmax  # type: ignore[import-untyped]

    for classes, most, scale, middle in ((10, 3, 2.0, 0.0), (10, 10, 1.0, -4.0), (4, 1, 3.0, 5.0), (7, 2, 2.0, 900.0)):
        scores = attempt.rng.normal(middle, scale, classes).tolist()
        with np.errstate(all="ignore"):  # an overflow is told below, and better
            given = attempt.call(list(scores), most)
        about = f"for {classes} scores between {min(scores):.1f} and {max(scores):.1f}"
        pairs = _pairs(attempt, given, about)
        attempt.expect(len(pairs) == most, f"{about} {len(pairs)} pairs, where {most} were asked for", f"{most} pairs")
        shares = softmax(np.array(scores))
        wanted = np.argsort(-shares)[:most].tolist()
        attempt.expect(
            [name for name, _ in pairs] == wanted,
            f"{about} the classes {[name for name, _ in pairs]}",
            f"the {most} with the largest scores, the likeliest first",
        )
        found = np.array([share for _, share in pairs])
        attempt.expect(
            np.isfinite(found).all(), f"{about} the probability {found[~np.isfinite(found)][:1]}", "probabilities"
        )
        attempt.expect(
            np.abs(found - shares[wanted]).max() < SHARES_CLOSE,
            f"{about} the probabilities {_short(found)} for {most} of {classes} classes",
            f"shares of one, such that those of all {classes} classes add up to 1",
        )


@task(
    "count",
    title="Add up what a server's metrics say under a name",
    hints=[
        "Look at one line at a time: metrics.splitlines(). Where does its name end?",
        "The name ends at a brace or at a blank, and another name may begin in the same way. The number is what "
        "follows the last blank. All given labels must be among those of the line; the line may have more.",
        "For two dictionaries, a.items() <= b.items() says whether all of a is in b. Add float(line.rsplit(' ', 1)[1]) "
        "for each line whose name is the one, and whose labels include the given ones.",
    ],
    learned="Metrics are numbers with a name and labels; leaving a label out means adding up over all its values.",
)
def count(attempt: Attempt) -> None:
    text = _metrics(attempt)
    asked: list[tuple[str, dict[str, str]]] = [
        ("servelab_requests_total", {"route": "v2", "status": "200"}),
        ("servelab_requests_total", {"status": "422", "route": "v1"}),
        ("servelab_requests_total", {"route": "v2"}),
        ("servelab_requests_total", {"status": "200"}),
        ("servelab_requests_total", {}),
        ("servelab_workers", {}),
        ("servelab_workers", {"route": "v2"}),
        ("servelab_batches_total", {"model": "letters"}),
        ("servelab_letters_total", {}),
        ("servelab_batches", {}),
    ]
    for name, labels in asked:
        given = attempt.call(text, name, **labels)
        called = f"count(metrics, {', '.join([repr(name), *(f'{key}={value!r}' for key, value in labels.items())])})"
        attempt.expect(
            _is_number(given),
            f"{_of(given)} for {called}",
            "a number",
        )
        attempt.expect(
            abs(given - _counted(text, name, labels)) < 1e-6,
            f"{given:g} for {called}, in a text of which the lines that fit are: {_fitting(text, name, labels)}",
            "the sum of their numbers, and nothing else",
        )


@task(
    "shortlist",
    title="Keep the frameworks that are alive and have every need",
    hints=[
        "needs is a dictionary: what is needed, and the value that it must have. Go through needs.items() for "
        "each framework.",
        "any needs one that fits, all needs every one. A dictionary's get gives None for what is not there.",
        "A list of each['name'] for those with each['year'] >= since, and of which "
        "all(each.get(need) == value for …) holds.",
    ],
    learned="Requirements cross out more than opinions do; what is left is short enough to be measured.",
)
def shortlist(attempt: Attempt) -> None:
    for needs in (
        {},
        {"any_backend": True},
        {"any_model": False},
        {"any_model": True, "starts": "cluster"},
        {"any_backend": False, "any_model": True, "starts": "pip"},
        {"licence": "Apache-2.0", "any_backend": True},
    ):
        frameworks = _frameworks(attempt)
        since = int(attempt.rng.choice([each["year"] for each in frameworks]))
        wanted = _fit(frameworks, since, needs)
        given_in = [dict(each) for each in frameworks]
        given = attempt.call(given_in, since, **needs)
        about = f"since {since}, {needs or 'without needs'}"
        attempt.expect(given_in == frameworks, f"{about}: the list that was given is another one now", "it as it was")
        attempt.expect(isinstance(given, list | tuple), f"{about}: {_of(given)}", "a list of names")
        attempt.expect(
            all(isinstance(name, str) for name in given), f"{about}: {_of(given)}", "a list of names, each a text"
        )
        _expect_names(attempt, about, list(given), wanted, frameworks)


# A server that nobody has seen before


@dataclass
class Seen:
    """What a server was asked, and how it refused."""

    questions: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)

    def clear(self) -> None:
        self.questions, self.refused = 0, []


@contextlib.contextmanager
def _served(attempt: Attempt) -> Iterator[tuple[str, Any, Seen]]:
    """A server's address, the answers of its model by ONNX Runtime itself, and what is seen."""
    import onnxruntime

    from helpers.serving import serve
    from helpers.store import Store

    with folder_of_its_own() as folder:
        path, store, seen = folder / "digits.onnx", Store(folder / "store"), Seen()
        _write_model(attempt, path)
        store.save("digits", path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        with serve("digits", store=store) as server:
            for protocol in ("v1", "v2"):  # either may be spoken
                server.app.routes[protocol] = _watched(server.app.routes[protocol], seen)
            yield server.address, lambda images: session.run(None, {"images": images})[0], seen


def _write_model(attempt: Attempt, path: Path) -> None:
    """Ten scores from 64 pixels, by weights that are drawn anew."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = attempt.rng.normal(0, 1, (64, 10)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        ],
        "digits",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


def _watched(route: "Route", seen: Seen) -> "Route":
    """The same route; what is asked of it is written down."""
    from helpers.engine import EngineError

    async def watched(request: "Request") -> "Answer":
        seen.questions += request.method == "POST"
        try:
            return await route(request)
        except EngineError as error:
            seen.refused.append((error.status, str(error)))
            raise

    return watched


def _asked(attempt: Attempt, seen: Seen, address: str, image: "NDArray[np.float32]") -> Any:
    """The learner's answer. What goes wrong after a refusal comes from the refusal."""
    try:
        return attempt.call(address, image)
    except LearnerRaised:
        _expect_no_refusal(seen)
        raise


def _expect_no_refusal(seen: Seen) -> None:
    if seen.refused:
        status, why = seen.refused[-1]
        raise NotYet(f"the server refused the question with {status}: {why}", "a question that it takes")


def _numbers(attempt: Attempt, given: Any) -> "NDArray[np.float64]":
    import numpy as np

    attempt.expect_type(given, (list, tuple, np.ndarray), "the result")
    try:
        found = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise NotYet(_of(given), "ten numbers") from None
    attempt.expect(found.shape == (10,), f"numbers of shape {found.shape}", "ten numbers, in one list")
    return found


def _pairs(attempt: Attempt, given: Any, about: str) -> list[tuple[int, float]]:
    import numpy as np

    attempt.expect(isinstance(given, list | tuple | np.ndarray), f"{about} {_of(given)}", "a list of pairs")
    try:
        pairs = [(name, float(share)) for name, share in given]
        if any(int(name) != name for name, _ in pairs):
            raise ValueError("a class is a whole number")
    except (TypeError, ValueError):
        raise NotYet(f"{about} {_of(given)}", "a list of pairs: the class, a whole number, and its share") from None
    return [(int(name), share) for name, share in pairs]


# Metrics, written and read by Prometheus' own package


def _metrics(attempt: Attempt) -> str:
    from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

    def drawn() -> int:
        return int(attempt.rng.integers(2, 900))

    registry = CollectorRegistry()
    requests = Counter("servelab_requests", "Requests.", ["route", "status"], registry=registry)
    batches = Counter("servelab_batches", "Calls of a model.", ["model", "version"], registry=registry)
    yesterday = Gauge("servelab_requests_total_yesterday", "As it was.", ["route", "status"], registry=registry)
    Gauge("servelab_workers", "Processes that answer.", registry=registry).set(drawn())
    for route in ("v1", "v2"):
        for status in ("200", "422", "503"):
            requests.labels(route, status).inc(drawn())
            yesterday.labels(route, status).set(drawn())
    for model in ("digits", "letters"):
        for version in ("1", "2"):
            batches.labels(model, version).inc(drawn())
    return generate_latest(registry).decode()


def _counted(text: str, name: str, labels: dict[str, str]) -> float:
    from prometheus_client.parser import text_string_to_metric_families

    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def _fitting(text: str, name: str, labels: dict[str, str]) -> str:
    lines = [line for line in text.splitlines() if line.startswith((name + "{", name + " "))]
    fit = [line for line in lines if all(f'{key}="{value}"' in line for key, value in labels.items())]
    return "; ".join(line.removeprefix(name) for line in fit) or "none"


# Frameworks that do not exist


def _frameworks(attempt: Attempt) -> list[dict[str, Any]]:
    """One of each kind and some more, in any order; of some, something is not known."""
    every = [
        {"any_backend": backend, "any_model": model, "starts": starts}
        for backend in (True, False)
        for model in (True, False)
        for starts in ("pip", "container", "cluster")
    ]
    drawn = [*every, *every, *every]
    found = []
    for number, place in enumerate(attempt.rng.permutation(len(drawn))):
        one = {"name": f"server {number}", "year": int(attempt.rng.integers(2022, 2027)), **drawn[place]}
        if number % 5 == 2:
            del one["any_model"]
        if number % 4:
            one["licence"] = str(attempt.rng.choice(["Apache-2.0", "BSL-1.1"]))
        found.append(one)
    return found


def _fit(frameworks: list[dict[str, Any]], since: int, needs: dict[str, Any]) -> list[str]:
    missing = object()
    fit = list(frameworks)
    for need, value in needs.items():
        fit = [each for each in fit if each.get(need, missing) == value]
    return [each["name"] for each in fit if not each["year"] < since]


def _expect_names(
    attempt: Attempt, about: str, given: list[str], wanted: list[str], frameworks: list[dict[str, Any]]
) -> None:
    by_name = {each["name"]: each for each in frameworks}
    unknown = [name for name in given if name not in by_name]
    attempt.expect(not unknown, f"{about}: {unknown[:1]}, which is no name in the list", "names from the list")
    for kept in given:
        attempt.expect(kept in wanted, f"{about}: kept {by_name[kept]}", "only those that fit")
    for lost in wanted:
        attempt.expect(lost in given, f"{about}: crossed out {by_name[lost]}", "all those that fit")
    attempt.expect(given == wanted, f"{about}: {given[:4]} …", "the order of the list, and each name once")


def _is_number(value: Any) -> bool:
    import numpy as np

    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _short(values: "NDArray[Any]") -> str:
    shown = ", ".join(f"{value:.4g}" for value in values[:4])
    return f"[{shown}{', …' if len(values) > 4 else ''}]"


def _of(value: Any, limit: int = 80) -> str:
    text = f"the {type(value).__name__} {value!r}"
    return text if len(text) <= limit else text[: limit - 1] + "…"
