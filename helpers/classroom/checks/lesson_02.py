"""Lesson 02, Any framework: six tasks around files that were made from other models than torch's.

Each check trains small models of its own, so that what passes here works for any and
not only for the digits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.classroom.checking import Attempt, NotYet, task
from helpers.classroom.checks.model_files import (
    CLOSE,
    apart,
    expect_names,
    first_line,
    folder_of_its_own,
    open_answer,
)

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Labels = NDArray[np.int64]

ENOUGH = 20  # rows that disagree, of the hundreds that there are
OPSETS = {"": 18, "ai.onnx.ml": 3}


@task(
    "one_graph",
    title="Put the preparation of a photo and the classifier into one file",
    hints=[
        "Two graphs: one that you write with onnx.helper, and the one that to_onnx makes from the model. "
        "onnx.compose.merge_models ties an output of the first to an input of the second.",
        "Three steps prepare a photo: make numbers of the bytes, divide them, lay the 8 by 8 out as a row of 64. "
        "The order of the first two matters: what is 200 divided by 255 among whole numbers?",
        "helper.make_node('Cast', …, to=TensorProto.FLOAT), 'Div' by an initializer of 255, 'Flatten' with axis=1. "
        "Give make_model the opset_imports and the ir_version of the classifier's file.",
    ],
    learned="What every client would have to do before it asks belongs into the file: then it is done once, and right.",
)
def one_graph(attempt: Attempt) -> None:
    np = _numpy()
    with folder_of_its_own() as folder:
        model, path = _classifier(attempt, columns=64), folder / "photos.onnx"
        attempt.call(model, path)
        session = open_answer(attempt, path)
        expect_names(attempt, [value.name for value in session.get_inputs()], ["photos"], "input")
        expect_names(attempt, [value.name for value in session.get_outputs()], ["label", "probabilities"], "output")
        (taken,) = session.get_inputs()
        attempt.expect(taken.type == "tensor(uint8)", f"photos is a {taken.type}", "bytes, tensor(uint8)")
        attempt.expect(
            len(taken.shape) == 3 and taken.shape[1:] == [8, 8] and not isinstance(taken.shape[0], int),
            f"photos has the shape {taken.shape}",
            "any number of photos, each of 8 by 8",
        )
        for count in (1, 6):
            photos = attempt.rng.integers(256, size=(count, 8, 8), dtype=np.uint8)
            wanted = model.predict_proba(photos.reshape(-1, 64) / np.float32(255))
            label, probabilities = _run(session, photos, f"{count} photos")
            _expect_table(attempt, probabilities, wanted, "photos")
            _expect_labels(attempt, label, model.classes_[wanted.argmax(1)])


@task(
    "catch_the_trap",
    title="Find the rows for which the file and the model name different classes",
    hints=[
        "Neither noise nor the training rows themselves find many. What else has values that lie on thresholds?",
        "A threshold of XGBoost is a value that occurs in the training rows, in that column. So make new rows, "
        "each number of which occurs in its column. Ask both, and keep the rows for which the labels differ.",
        "rows[rng.integers(len(rows), size=(4096, columns)), np.arange(columns)] takes each number of a new row from "
        "a training row of its own. Index with file_labels != model_labels.",
    ],
    learned="Inputs that look like the data meet thresholds exactly, and noise does not: where you look decides "
    "what you find.",
)
def catch_the_trap(attempt: Attempt) -> None:
    np = _numpy()
    with folder_of_its_own() as folder:
        rows, labels = _shades(attempt)
        model = _scaled_trees().fit(rows, labels)
        trap, faithful = _as_usual(model, rows, folder / "trap.onnx"), folder / "faithful.onnx"
        found = _returned_rows(attempt, model, trap, rows)
        session = _session(trap)
        attempt.expect(
            len(found) > 0, "no rows at all, although this file and its model do disagree", "rows for which they do"
        )
        in_file, named = _labels(session, found), model.predict(found)
        agreeing = int((in_file == named).sum())
        attempt.expect(
            agreeing == 0,
            f"{len(found)} rows, for {agreeing} of which the file and the model name the same class",
            "only rows for which they name different classes",
        )
        outside = ((found < rows.min(0)) | (found > rows.max(0))).any(1).sum()
        attempt.expect(
            outside == 0,
            f"{outside} of {len(found)} rows with numbers beyond any in the training rows",
            "rows that could occur: within the range of the training rows",
        )
        different = len(np.unique(found, axis=0))
        attempt.expect(
            different >= ENOUGH,
            f"{different} different rows that disagree; there are many more",
            f"at least {ENOUGH} of them: look where the thresholds lie",
        )
        unscaled = _boosted().fit(rows, labels)
        _as_usual(unscaled, rows, faithful)
        alarms = _returned_rows(attempt, unscaled, faithful, rows)
        attempt.expect(
            len(alarms) == 0, f"{len(alarms)} rows for a file that agrees with its model everywhere", "no rows for it"
        )


@task(
    "export_exactly",
    title="Train trees and write them so that no label flips",
    hints=[
        "There are two cures in the lecture: one changes how the scaler is written, the other what is trained.",
        "Trees need no scaler. If you keep it, the file must subtract and divide as scikit-learn does; to_onnx "
        "writes it so. And look at the type of the rows: what will the service send?",
        "Make the rows float32 first. Then train XGBClassifier alone, or behind a StandardScaler, and write it with "
        "to_onnx(model, rows, path). Return the model.",
    ],
    learned="Either the file rounds as the original does, or there is nothing to round. And the type that you train "
    "and validate with is the type that you serve.",
)
def export_exactly(attempt: Attempt) -> None:
    np = _numpy()
    with folder_of_its_own() as folder:
        rows, labels = _shades(attempt)
        path = folder / "trees.onnx"
        model = attempt.call(rows.astype(np.float64), labels, path)
        attempt.expect(
            hasattr(model, "predict"),
            f"the function returns {type(model).__name__}, which has no predict",
            "the trained model",
        )
        session = open_answer(attempt, path)
        taken = session.get_inputs()
        types = [value.type for value in taken]
        attempt.expect(
            types == ["tensor(float)"], f"the file takes {types}", "one table of float32, as the service sends it"
        )
        attempt.expect(
            not isinstance(taken[0].shape[0], int), f"it has the shape {taken[0].shape}", "any number of rows"
        )
        attempt.expect(
            any(node.op_type.startswith("TreeEnsemble") for node in _graph(path).node),
            "a file without trees",
            "boosted trees",
        )
        fresh = _recombined(attempt, rows)
        named = attempt.call_other(model.predict, fresh)
        in_file = _labels(_session(path), fresh)
        right = float((attempt.call_other(model.predict, rows) == labels).mean())
        attempt.expect(
            right > 0.9, f"a model that names {right:.0%} of its own training rows correctly", "one that learned them"
        )
        flips = int((in_file != np.asarray(named)).sum())
        attempt.expect(
            flips == 0,
            f"{flips} of {len(fresh)} labels differ between the file and the model, on recombined rows",
            "none",
        )


@task(
    "as_table",
    title="Turn the list of dictionaries into a table, in a file whose model is gone",
    hints=[
        "The dictionaries are made by one step, and it is the last. What does that step read?",
        "Without the ZipMap step, the tensor that it read can be an output itself. An output is a "
        "ValueInfo: a name, a type and a shape.",
        "model.graph.node.remove(zipmap), and model.graph.output[1].CopyFrom(helper.make_tensor_value_info("
        "the name that it read, TensorProto.FLOAT, [None, None])).",
    ],
    learned="A file is a list of steps, and yours to edit: what a converter put on top can be taken off again.",
)
def as_table(attempt: Attempt) -> None:
    with folder_of_its_own() as folder:
        for kind in ("logistic", "forest"):
            model = _classifier(attempt, columns=7, kind=kind)
            rows = attempt.rng.random((9, 7), dtype="float32")
            source, target = folder / f"{kind}.onnx", folder / f"{kind}-table.onnx"
            source.write_bytes(_skl2onnx().to_onnx(model, rows[:1]).SerializeToString())
            before = source.read_bytes()
            attempt.call(source, target)
            attempt.expect(source.read_bytes() == before, "the source's file is changed", "a copy that leaves it alone")
            session = open_answer(attempt, target)
            kinds = [value.type for value in session.get_outputs()]
            attempt.expect(
                len(kinds) == 2 and kinds[1] == "tensor(float)",
                f"outputs of the types {', '.join(kinds)}",
                "two: the label as before, and a table of float32",
            )
            names = [session.get_inputs()[0].name, session.get_outputs()[0].name]
            attempt.expect(
                names == ["X", "output_label"],
                f"an input called {names[0]} and a first output called {names[1]}",
                "the names X and output_label, as in the source: clients ask for them",
            )
            attempt.expect(
                all(node.op_type != "ZipMap" for node in _graph(target).node),
                "a ZipMap is still among the steps",
                "no step that makes dictionaries",
            )
            wanted = model.predict_proba(rows)
            label, table = _run(session, rows, "9 rows")
            _expect_table(attempt, table, wanted, "rows")
            _expect_labels(attempt, label, model.classes_[wanted.argmax(1)])


@task(
    "own_converter",
    title="Write a converter for a framework of your own",
    hints=[
        "A Converter has a name and three functions: handles(kind), write(model, example, path) and "
        "answer(model, arrays). Begin with answer: it calls the model, and returns a tuple.",
        "In the graph, a row must meet every centre: Unsqueeze the rows on axis 1, and (batch, 1, columns) "
        "minus (centres, columns) is (batch, centres, columns). Then square, sum over the last axis, ArgMin.",
        "Unsqueeze, Sub, Mul with itself, ReduceSum (axes as an input, keepdims=0) give the distances; ArgMin "
        "(axis=1, keepdims=0) gives a place, and Gather looks the name up. Take sizes from model.centres.shape, and "
        "declare the outputs with 'batch' first.",
    ],
    learned="A converter is a translation that you can read: each line of numpy becomes a step, and parity proves it.",
)
def own_converter(attempt: Attempt) -> None:

    from helpers.convert import Converter
    from helpers.errors import UserError

    np = _numpy()
    kind = _nearest_class()
    made = attempt.call(kind)
    attempt.expect_type(made, Converter, "the result")
    attempt.expect(
        attempt.call_other(made.handles, kind), "handles is not true for the class itself", "a converter for this class"
    )
    for other in (dict, type("Stranger", (), {})):
        attempt.expect(
            not attempt.call_other(made.handles, other),
            f"handles is true for the class {other.__name__} too",
            "a converter for the given class only: it is asked before all others",
        )
    with folder_of_its_own() as folder, _only_here(made):
        for centres, columns in ((3, 5), (8, 2)):
            model = kind(
                attempt.rng.random((centres, columns), dtype="float32"), attempt.rng.permutation(90)[:centres] + 10
            )
            rows = attempt.rng.random((40, columns), dtype="float32")
            wanted = model.predict(rows), model.distances(rows)
            given = attempt.call_other(made.answer, model, (rows,))
            attempt.expect_type(given, tuple, "what answer returns")
            attempt.expect(
                len(given) == 2 and all(apart(a, np.asarray(b)) < CLOSE for a, b in zip(wanted, given, strict=True)),
                f"answer returns {len(given)} things, of the shapes {[np.shape(one) for one in given]}, "
                "which are not what the model says",
                "what predict and distances say, in this order",
            )
            path = folder / f"nearest-{centres}.onnx"
            attempt.call_other(made.write, model, (rows[:2],), path)
            session = open_answer(attempt, path)
            outputs = [value.name for value in session.get_outputs()]
            expect_names(attempt, outputs, ["label", "distances"], "output")
            try:
                _to_onnx(model, rows, folder / f"nearest-{centres}-completed.onnx")
            except UserError as refusal:
                raise NotYet(f"to_onnx refuses: {refusal.sentence}", "a file that it can complete and check") from None
            except Exception as error:  # onnx's checker, about what write left in the file
                raise NotYet(
                    f"the file is not valid: {first_line(error, folder)}", "a file that passes the checker"
                ) from None
            for count in (1, 40):
                label, distances = _run(session, rows[:count], f"{count} rows of {columns} numbers")
                attempt.expect(
                    apart(wanted[1][:count], distances) < CLOSE,
                    f"distances of shape {distances.shape} that are {apart(wanted[1][:count], distances):.2g} away, "
                    f"for {count} rows and {centres} centres",
                    f"the model's, of shape {wanted[1][:count].shape}, to {CLOSE}",
                )
                _expect_labels(attempt, label, wanted[0][:count])


@task(
    "culprits",
    title="Name the steps of a pipeline that cannot be converted",
    hints=[
        "An error sentence names the class of one step. Two steps may be of one class, and two may be to blame. "
        "What happens if you convert each step alone?",
        "Each step must be tried on what reaches it: the rows as the steps before it left them.",
        "for name, step in pipeline.steps: try to_onnx(step, rows, path), note the name on UserError, then "
        "rows = step.transform(rows) unless it is the last.",
    ],
    learned="Try parts alone, each on the input that it really gets: then the refusal names the culprit, and only it.",
)
def culprits(attempt: Attempt) -> None:
    for steps in _pipelines(attempt):
        pipeline, rows, wanted = steps
        given = attempt.call(pipeline, rows)
        attempt.expect_type(given, (list, tuple, set), "the result")
        told = list(given)
        names = [name for name, _ in pipeline.steps]
        unknown = [name for name in told if not isinstance(name, str) or name not in names]
        attempt.expect(not unknown, f"{unknown} in the result", f"names of steps, which here are {', '.join(names)}")
        said = f"for the steps {', '.join(names)} the result is {sorted(told)}"
        innocent = sorted(set(told) - wanted)
        attempt.expect(not innocent, f"{said}; but {' and '.join(innocent)} can be converted", "only what cannot be")
        missed = len(wanted - set(told))
        attempt.expect(not missed, f"{said}; {missed} that cannot be converted is missing", "all that cannot be")


# What the checks look at


def _numpy() -> Any:
    import numpy

    return numpy


def _skl2onnx() -> Any:
    import skl2onnx

    return skl2onnx


def _graph(path: Path) -> Any:
    import onnx

    return onnx.load(path).graph


def _to_onnx(model: Any, rows: Any, path: Path) -> Path:
    from helpers.convert import to_onnx

    return to_onnx(model, rows, path, verify=False)  # the check compares on rows of its own


def _quiet_options() -> "onnxruntime.SessionOptions":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return options


def _session(path: Path) -> "onnxruntime.InferenceSession":
    """As a service opens it, with all optimisations."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), _quiet_options(), providers=["CPUExecutionProvider"])


def _run(session: "onnxruntime.InferenceSession", batch: Any, what: str) -> list[Any]:
    try:
        answers: list[Any] = session.run(None, {session.get_inputs()[0].name: batch})
    except Exception as error:
        raise NotYet(f"{what} are refused: {first_line(error)}", "an answer for each") from None
    return answers


def _labels(session: "onnxruntime.InferenceSession", rows: Any) -> Any:
    """The first output, which is the label in the files of all converters of classifiers."""
    label = _numpy().asarray(_run(session, rows, "rows of float32")[0])
    if label.shape != (len(rows),):
        raise NotYet(f"a first output of shape {label.shape} for {len(rows)} rows", "the label: one for each row")
    return label


def _expect_table(attempt: Attempt, table: Any, wanted: Any, what: str) -> None:
    attempt.expect(
        table.shape == wanted.shape,
        f"probabilities of shape {table.shape} for {len(wanted)} {what}",
        f"shape {wanted.shape}",
    )
    attempt.expect(
        apart(wanted, table) < CLOSE,
        f"probabilities that are {apart(wanted, table):.2g} away from the model's",
        f"agreement to {CLOSE}",
    )


def _expect_labels(attempt: Attempt, label: Any, wanted: Any) -> None:
    attempt.expect(
        label.shape == wanted.shape and all(str(a) == str(b) for a, b in zip(label, wanted, strict=True)),
        f"labels of shape {label.shape}: {label.ravel()[:4].tolist()} and so on, "
        f"where the model says {wanted[:4].tolist()}",
        "the label that the model names, for each row",
    )


def _returned_rows(attempt: Attempt, model: Any, path: Path, rows: "Rows") -> "Rows":
    np = _numpy()
    given = attempt.call(model, path, rows.copy())
    attempt.expect_type(given, np.ndarray, "the result")
    attempt.expect(
        given.ndim == 2 and given.shape[1] == rows.shape[1] and given.dtype == np.float32,
        f"{given.dtype} of shape {given.shape}",
        f"rows: float32 of shape (how many, {rows.shape[1]}), also if there are none",
    )
    found: Rows = given
    return found


@contextmanager
def _only_here(converter: Any) -> Iterator[None]:
    """Registered inside the block; afterwards to_onnx knows what it knew before."""
    from helpers.convert import conversion, register

    before = list(conversion._registered)
    try:
        register(converter)
        yield
    finally:
        conversion._registered[:] = before


# What the checks make


def _shades(attempt: Attempt, count: int = 300, columns: int = 16, classes: int = 4) -> "tuple[Rows, Labels]":
    """A table of few distinct values, and a label that depends on all columns."""
    np = _numpy()
    rows = (attempt.rng.integers(0, 10, size=(count, columns)) / 9).astype(np.float32)
    scores = (rows - 0.5) @ attempt.rng.normal(size=(columns, classes))
    return rows, np.unique(scores.argmax(1), return_inverse=True)[1].astype(np.int64)


def _recombined(attempt: Attempt, rows: "Rows", count: int = 4096) -> "Rows":
    np = _numpy()
    mixed: Rows = rows[attempt.rng.integers(len(rows), size=(count, rows.shape[1])), np.arange(rows.shape[1])]
    return mixed


def _boosted() -> Any:
    import xgboost

    return xgboost.XGBClassifier(n_estimators=30, max_depth=4, n_jobs=1, random_state=0)


def _scaled_trees() -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), _boosted())


def _as_usual(model: Any, rows: "Rows", path: Path) -> Path:
    """The conversion of most courses, with a table: a scaler is written as a multiplication."""
    from helpers.convert.frameworks.sklearn_extensions import introduce_own_converters

    introduce_own_converters()
    made = _skl2onnx().to_onnx(model, rows[:1], options={id(model): {"zipmap": False}}, target_opset=OPSETS)
    path.write_bytes(made.SerializeToString())
    return path


def _classifier(attempt: Attempt, columns: int, kind: str = "logistic") -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    np = _numpy()
    rows = attempt.rng.random((120, columns), dtype=np.float32)
    labels = ((rows - 0.5) @ attempt.rng.normal(size=(columns, 4))).argmax(1)
    if kind == "forest":  # its classes have names
        model = RandomForestClassifier(7, max_depth=4, random_state=0)
        return model.fit(rows, np.array(["ash", "birch", "cedar", "elm"])[labels])
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(rows, labels + 3)


def _nearest_class() -> type:
    """The framework of the exercise: a class of its own for each attempt."""
    np = _numpy()

    class Nearest:
        def __init__(self, centres: "Rows", names: "Labels") -> None:
            self.centres = np.asarray(centres, np.float32)
            self.names = np.asarray(names, np.int64)

        def distances(self, rows: "Rows") -> Any:
            return ((rows[:, None] - self.centres) ** 2).sum(-1)

        def predict(self, rows: "Rows") -> Any:
            return self.names[self.distances(rows).argmin(1)]

    return Nearest


def _pipelines(attempt: Attempt) -> "Iterator[tuple[Any, Rows, set[str]]]":
    """Fitted pipelines with the names of the steps that skl2onnx cannot convert."""
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    np = _numpy()

    class Halved(TransformerMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, rows: Any, labels: Any = None) -> "Halved":
            self.columns_ = rows.shape[1]  # without one of these, scikit-learn takes it for unfitted
            return self

        def transform(self, rows: Any) -> Any:
            return rows / np.float32(2)

    rows = attempt.rng.random((60, 6), dtype=np.float32)
    labels = (rows[:, 0] > rows[:, 1]).astype(int)
    last = ("decide", LogisticRegression())
    shrink = ("shrink", PCA(3))
    for steps, wanted in (
        (
            [
                ("keep", FunctionTransformer()),
                ("scale", StandardScaler()),
                shrink,
                ("bend", FunctionTransformer(np.tanh)),
                last,
            ],
            {"bend"},
        ),
        ([("halve", Halved()), shrink, ("root", FunctionTransformer(np.cbrt)), last], {"halve", "root"}),
        ([("scale", StandardScaler()), shrink, last], set()),
    ):
        yield Pipeline(steps).fit(rows, labels), rows, wanted
