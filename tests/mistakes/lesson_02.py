"""What goes wrong in lesson 02."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import skl2onnx
import xgboost
from onnx import TensorProto, compose, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from helpers.convert import Converter, to_onnx
from helpers.convert.frameworks.sklearn_extensions import introduce_own_converters
from helpers.errors import UserError

FULL = np.float32(255)
CAST = helper.make_node("Cast", ["photos"], ["numbers"], to=TensorProto.FLOAT)
FLATTEN = helper.make_node("Flatten", ["ink"], ["row"], axis=1)


def divided(reads: str = "numbers", makes: str = "ink") -> onnx.NodeProto:
    return helper.make_node("Div", [reads, "full"], [makes])


def in_front(
    model: Any,
    path: Path,
    steps: Sequence[onnx.NodeProto] = (CAST, divided(), FLATTEN),
    full: Any = FULL,
    batch: str | int = "batch",
    name: str = "photos",
    kind: int = TensorProto.UINT8,
    flat: bool = False,
) -> None:
    """The right answer, with one thing another."""
    classifier = onnx.load(to_onnx(model, np.zeros((2, 64), np.float32), path))
    graph = helper.make_graph(
        steps,
        "prepare",
        [helper.make_tensor_value_info("photos", kind, [batch, 64] if flat else [batch, 8, 8])],
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, [batch, 64])],
        [numpy_helper.from_array(full, "full")],
    )
    for node in graph.node:
        node.input[:] = [name if read == "photos" else read for read in node.input]
    graph.input[0].name = name
    prepare = helper.make_model(graph, opset_imports=classifier.opset_import, ir_version=classifier.ir_version)
    whole = compose.merge_models(prepare, classifier, io_map=[("row", "input")])
    onnx.save(whole, path)


# one_graph


def leaves_the_preparation_out(model: Any, path: Path) -> None:
    to_onnx(model, np.zeros((2, 64), np.float32), path, inputs=["photos"])


def divides_by_256(model: Any, path: Path) -> None:
    in_front(model, path, full=np.float32(256))


def divides_by_16(model: Any, path: Path) -> None:
    in_front(model, path, full=np.float32(16))


def forgets_to_divide(model: Any, path: Path) -> None:
    in_front(model, path, full=np.float32(1))


def divides_bytes_by_bytes(model: Any, path: Path) -> None:
    steps = [divided("photos", "whole"), helper.make_node("Cast", ["whole"], ["ink"], to=TensorProto.FLOAT), FLATTEN]
    in_front(model, path, steps, full=np.uint8(255))


def reads_columns_as_rows(model: Any, path: Path) -> None:
    turned = helper.make_node("Transpose", ["ink"], ["turned"], perm=[0, 2, 1])
    flatten = helper.make_node("Flatten", ["turned"], ["row"], axis=1)
    in_front(model, path, [CAST, divided(), turned, flatten])


def one_photo_at_a_time(model: Any, path: Path) -> None:
    in_front(model, path, batch=1)


def calls_the_input_otherwise(model: Any, path: Path) -> None:
    in_front(model, path, name="bytes")


def takes_numbers_for_bytes(model: Any, path: Path) -> None:
    in_front(model, path, kind=TensorProto.FLOAT)


def takes_flat_photos(model: Any, path: Path) -> None:
    in_front(model, path, flat=True)


def writes_nothing(model: Any, path: Path) -> None:
    pass


# catch_the_trap


def file_labels(path: Path, rows: Any) -> Any:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: rows})[0]


def recombined(rows: Any, count: int = 4096) -> Any:
    return rows[np.random.default_rng(0).integers(len(rows), size=(count, rows.shape[1])), np.arange(rows.shape[1])]


def differing(model: Any, path: Path, tried: Any) -> Any:
    return tried[file_labels(path, tried) != model.predict(tried)]


def tries_noise(model: Any, path: Path, rows: Any) -> Any:
    return differing(model, path, np.random.default_rng(0).random((4096, rows.shape[1]), dtype=np.float32))


def tries_the_training_rows_only(model: Any, path: Path, rows: Any) -> Any:
    return differing(model, path, rows)


def tries_too_few(model: Any, path: Path, rows: Any) -> Any:
    return differing(model, path, recombined(rows, 100))


def repeats_the_first_it_finds(model: Any, path: Path, rows: Any) -> Any:
    return np.repeat(differing(model, path, recombined(rows))[:1], 100, axis=0)


def returns_all_that_it_tried(model: Any, path: Path, rows: Any) -> Any:
    return recombined(rows)


def keeps_those_that_agree(model: Any, path: Path, rows: Any) -> Any:
    tried = recombined(rows)
    return tried[file_labels(path, tried) == model.predict(tried)]


def returns_their_numbers(model: Any, path: Path, rows: Any) -> Any:
    tried = recombined(rows)
    return np.flatnonzero(file_labels(path, tried) != model.predict(tried))


def counts_them(model: Any, path: Path, rows: Any) -> int:
    return len(differing(model, path, recombined(rows)))


def compares_probabilities(model: Any, path: Path, rows: Any) -> Any:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    tried = recombined(rows)
    in_file = session.run(None, {session.get_inputs()[0].name: tried})[1]
    return tried[np.abs(in_file - model.predict_proba(tried)).max(1) > 1e-4]


def asks_the_model_in_double_precision(model: Any, path: Path, rows: Any) -> Any:
    tried = recombined(rows)
    return tried[file_labels(path, tried) != model.predict(tried.astype(np.float64) + 1e-9)]


def returns_double_precision(model: Any, path: Path, rows: Any) -> Any:
    return differing(model, path, recombined(rows)).astype(np.float64)


# export_exactly


def boosted() -> xgboost.XGBClassifier:
    return xgboost.XGBClassifier(n_estimators=40, max_depth=4, n_jobs=1)


def converted(model: Any, rows: Any, path: Path, zipmap: bool = False) -> None:
    introduce_own_converters()
    made = skl2onnx.to_onnx(
        model, rows[:1], options={id(model): {"zipmap": zipmap}}, target_opset={"": 18, "ai.onnx.ml": 3}
    )
    path.write_bytes(made.SerializeToString())


def converts_as_most_do(rows: Any, labels: Any, path: Path) -> Any:
    rows = rows.astype(np.float32)
    model = make_pipeline(StandardScaler(), boosted()).fit(rows, labels)
    converted(model, rows, path)
    return model


def leaves_the_scaler_outside(rows: Any, labels: Any, path: Path) -> Any:
    rows = rows.astype(np.float32)
    model = make_pipeline(StandardScaler(), boosted()).fit(rows, labels)
    to_onnx(model[-1], rows, path)
    return model


def writes_another_model(rows: Any, labels: Any, path: Path) -> Any:
    rows = rows.astype(np.float32)
    to_onnx(xgboost.XGBClassifier(n_estimators=10, max_depth=2, n_jobs=1).fit(rows, labels), rows, path)
    return boosted().fit(rows, labels)


def returns_nothing(rows: Any, labels: Any, path: Path) -> None:
    to_onnx(boosted().fit(rows, labels), rows, path)


def gives_up_trees(rows: Any, labels: Any, path: Path) -> Any:
    rows = rows.astype(np.float32)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=100)).fit(rows, labels)
    to_onnx(model, rows, path)
    return model


def gives_up_learning(rows: Any, labels: Any, path: Path) -> Any:
    rows = rows.astype(np.float32)
    model = xgboost.XGBClassifier(n_estimators=1, max_depth=1, n_jobs=1).fit(rows, labels)
    to_onnx(model, rows, path)
    return model


def takes_double_precision(rows: Any, labels: Any, path: Path) -> Any:
    model = RandomForestClassifier(5).fit(rows, labels)
    to_onnx(model, rows, path)
    return model


def trains_and_writes_nothing(rows: Any, labels: Any, path: Path) -> Any:
    return boosted().fit(rows, labels)


# as_table


def edited(source: Path, target: Path, edit: Callable[[onnx.ModelProto, onnx.NodeProto], None]) -> None:
    model = onnx.load(source)
    edit(model, next(node for node in model.graph.node if node.op_type == "ZipMap"))
    onnx.save(model, target)


def table(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None])


def copies_the_file(source: Path, target: Path) -> None:
    shutil.copy(source, target)


def edits_the_source(source: Path, target: Path) -> None:
    def edit(model: onnx.ModelProto, zipmap: onnx.NodeProto) -> None:
        model.graph.node.remove(zipmap)
        model.graph.output[1].CopyFrom(table(zipmap.input[0]))

    edited(source, source, edit)
    shutil.copy(source, target)


def drops_the_probabilities(source: Path, target: Path) -> None:
    def edit(model: onnx.ModelProto, zipmap: onnx.NodeProto) -> None:
        model.graph.node.remove(zipmap)
        del model.graph.output[1]

    edited(source, target, edit)


def leaves_the_step_in(source: Path, target: Path) -> None:
    edited(source, target, lambda model, zipmap: model.graph.output[1].CopyFrom(table(zipmap.input[0])))


def removes_the_step_only(source: Path, target: Path) -> None:
    edited(source, target, lambda model, zipmap: model.graph.node.remove(zipmap))


def offers_both(source: Path, target: Path) -> None:
    edited(source, target, lambda model, zipmap: model.graph.output.append(table(zipmap.input[0])))


def drops_the_label(source: Path, target: Path) -> None:
    def edit(model: onnx.ModelProto, zipmap: onnx.NodeProto) -> None:
        model.graph.node.remove(zipmap)
        model.graph.output[1].CopyFrom(table(zipmap.input[0]))
        del model.graph.output[0]

    edited(source, target, edit)


def takes_the_scores(source: Path, target: Path) -> None:
    """What the step before the last read: not yet probabilities, where there is such a step."""

    def edit(model: onnx.ModelProto, zipmap: onnx.NodeProto) -> None:
        makers = {name: node for node in model.graph.node for name in node.output}
        maker = makers[zipmap.input[0]]
        model.graph.node.remove(zipmap)
        name = maker.input[0] if maker.op_type == "Normalizer" else zipmap.input[0]
        double = helper.make_node("Add", [name, name], ["twice"])
        model.graph.node.append(double)
        model.graph.output[1].CopyFrom(table("twice"))

    edited(source, target, edit)


def takes_the_inner_label(source: Path, target: Path) -> None:
    def edit(model: onnx.ModelProto, zipmap: onnx.NodeProto) -> None:
        step = next(node for node in model.graph.node if "output_label" in node.output)
        model.graph.node.remove(zipmap)
        kind = TensorProto.STRING if b"ash" in zipmap.attribute[0].strings else TensorProto.INT64
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info(step.input[0], kind, [None]))
        model.graph.output[1].CopyFrom(table(zipmap.input[0]))

    edited(source, target, edit)


# own_converter


class Nearest:
    """How the file is written, with one thing another in each mistake."""

    batch: str | int = "batch"
    outputs = ("label", "distances")
    choose = "ArgMin"
    by_name = True
    squared = True
    columns: int | None = None
    remembered: Any = None

    def write(self, model: Any, example: Any, path: Path) -> None:
        if self.remembered is not None:
            model = self.remembered
        count, columns = model.centres.shape
        step, value = helper.make_node, helper.make_tensor_value_info
        last = step("Gather", ["names", "place"], ["label"]) if self.by_name else step("Identity", ["place"], ["label"])
        graph = helper.make_graph(
            [
                step("Unsqueeze", ["rows", "one"], ["each"]),
                step("Sub", ["each", "centres"], ["apart"]),
                step("Mul", ["apart", "apart"], ["squares"]) if self.squared else step("Abs", ["apart"], ["squares"]),
                step("ReduceSum", ["squares", "last"], ["distances"], keepdims=0),
                step(self.choose, ["distances"], ["place"], axis=1, keepdims=0),
                last,
            ],
            "nearest",
            [value("rows", TensorProto.FLOAT, [self.batch, self.columns or columns])],
            [
                value(name, TensorProto.INT64, [self.batch])
                if name == "label"
                else value(name, TensorProto.FLOAT, [self.batch, count])
                for name in self.outputs
            ],
            [
                numpy_helper.from_array(array, name)
                for name, array in {
                    "centres": model.centres,
                    "names": model.names,
                    "one": np.array([1]),
                    "last": np.array([-1]),
                }.items()
            ],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)

    def answer(self, model: Any, arrays: Any) -> Any:
        return model.predict(arrays[0]), model.distances(arrays[0])

    def converter(self, kind: type, handles: Any = None) -> Converter:
        return Converter("nearest", handles or (lambda asked: asked is kind), self.write, self.answer)


def forgets_the_batch(kind: type) -> Any:
    made = Nearest()
    made.batch = 2
    return made.converter(kind)


def swaps_the_outputs(kind: type) -> Any:
    made = Nearest()
    made.outputs = ("distances", "label")
    return made.converter(kind)


def takes_the_farthest(kind: type) -> Any:
    made = Nearest()
    made.choose = "ArgMax"
    return made.converter(kind)


def forgets_the_names(kind: type) -> Any:
    made = Nearest()
    made.by_name = False
    return made.converter(kind)


def forgets_the_square(kind: type) -> Any:
    made = Nearest()
    made.squared = False
    return made.converter(kind)


def knows_one_size_only(kind: type) -> Any:
    made = Nearest()
    made.columns = 64
    return made.converter(kind)


def writes_the_same_model_always(kind: type) -> Any:
    made = Nearest()
    made.remembered = kind(np.eye(3, 5, dtype=np.float32), np.array([10, 11, 12]))  # type: ignore[call-arg]
    return made.converter(kind)


def handles_everything(kind: type) -> Any:
    return Nearest().converter(kind, handles=lambda asked: True)


def handles_nothing(kind: type) -> Any:
    return Nearest().converter(kind, handles=lambda asked: asked is Nearest)


def answers_with_the_label_only(kind: type) -> Any:
    class LabelOnly(Nearest):
        def answer(self, model: Any, arrays: Any) -> Any:
            return (model.predict(arrays[0]),)

    return LabelOnly().converter(kind)


def answers_in_the_other_order(kind: type) -> Any:
    class Swapped(Nearest):
        def answer(self, model: Any, arrays: Any) -> Any:
            return tuple(reversed(super().answer(model, arrays)))

    return Swapped().converter(kind)


def returns_its_parts(kind: type) -> Any:
    made = Nearest()
    return made.write, made.answer


def registers_and_returns_nothing(kind: type) -> None:
    Nearest().converter(kind)


# culprits


def refused(step: Any, rows: Any) -> bool:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        try:
            to_onnx(step, rows, Path(folder) / "step.onnx")
        except UserError:
            return True
    return False


def one_by_one(pipeline: Pipeline, rows: Any) -> list[str]:
    names = []
    for name, step in pipeline.steps:
        if refused(step, rows):
            names.append(name)
        if step is not pipeline[-1]:
            rows = step.transform(rows)
    return names


def names_the_first_only(pipeline: Pipeline, rows: Any) -> list[str]:
    return one_by_one(pipeline, rows)[:1]


def tries_each_on_the_raw_rows(pipeline: Pipeline, rows: Any) -> list[str]:
    return [name for name, step in pipeline.steps if refused(step, rows)]


def accuses_every_function(pipeline: Pipeline, rows: Any) -> list[str]:
    return [name for name, step in pipeline.steps if isinstance(step, FunctionTransformer)]


def names_classes(pipeline: Pipeline, rows: Any) -> list[str]:
    return [type(pipeline.named_steps[name]).__name__ for name in one_by_one(pipeline, rows)]


def returns_the_steps(pipeline: Pipeline, rows: Any) -> list[Any]:
    return [pipeline.named_steps[name] for name in one_by_one(pipeline, rows)]


def accuses_all_if_any(pipeline: Pipeline, rows: Any) -> list[str]:
    return [name for name, _ in pipeline.steps] if one_by_one(pipeline, rows) else []


def finds_nobody(pipeline: Pipeline, rows: Any) -> list[str]:
    return []


def says_whether(pipeline: Pipeline, rows: Any) -> bool:
    return bool(one_by_one(pipeline, rows))


MISTAKES: dict[str, dict[Any, str]] = {
    "one_graph": {
        leaves_the_preparation_out: "photos is a tensor(float)",
        divides_by_256: "away from the model's",
        divides_by_16: "away from the model's",
        forgets_to_divide: "away from the model's",
        divides_bytes_by_bytes: "away from the model's",
        reads_columns_as_rows: "away from the model's",
        one_photo_at_a_time: "photos has the shape",
        calls_the_input_otherwise: "inputs called ['bytes']",
        takes_numbers_for_bytes: "photos is a tensor(float)",
        takes_flat_photos: "photos has the shape",
        writes_nothing: "no file at the path",
    },
    "catch_the_trap": {
        tries_noise: "no rows at all",
        tries_the_training_rows_only: "disagree",
        tries_too_few: "look where the thresholds lie",
        repeats_the_first_it_finds: "1 different rows",
        returns_all_that_it_tried: "name the same class",
        keeps_those_that_agree: "name the same class",
        returns_their_numbers: "int64 of shape",
        counts_them: "the result is int",
        compares_probabilities: "name the same class",
        asks_the_model_in_double_precision: "name the same class",
        returns_double_precision: "float64 of shape",
    },
    "export_exactly": {
        converts_as_most_do: "labels differ between the file and the model",
        leaves_the_scaler_outside: "labels differ between the file and the model",
        writes_another_model: "labels differ between the file and the model",
        returns_nothing: "the function returns NoneType",
        gives_up_trees: "a file without trees",
        gives_up_learning: "of its own training rows",
        takes_double_precision: "the file takes ['tensor(double)']",
        trains_and_writes_nothing: "no file at the path",
    },
    "as_table": {
        copies_the_file: "outputs of the types",
        edits_the_source: "the source's file is changed",
        drops_the_probabilities: "outputs of the types",
        leaves_the_step_in: "a ZipMap is still among the steps",
        removes_the_step_only: "cannot open",
        offers_both: "outputs of the types",
        drops_the_label: "outputs of the types",
        takes_the_scores: "away from the model's",
        takes_the_inner_label: "a first output called",
    },
    "own_converter": {
        forgets_the_batch: "1 rows of 5 numbers are refused",
        swaps_the_outputs: "outputs called ['distances', 'label']",
        takes_the_farthest: "where the model says",
        forgets_the_names: "where the model says",
        forgets_the_square: "distances of shape",
        knows_one_size_only: "cannot open",
        writes_the_same_model_always: "away",
        handles_everything: "handles is true for the class dict too",
        handles_nothing: "handles is not true for the class itself",
        answers_with_the_label_only: "answer returns 1 things",
        answers_in_the_other_order: "not what the model says",
        returns_its_parts: "the result is tuple",
        registers_and_returns_nothing: "the result is NoneType",
    },
    "culprits": {
        names_the_first_only: "1 that cannot be converted is missing",
        tries_each_on_the_raw_rows: "can be converted",
        accuses_every_function: "keep can be converted",
        names_classes: "names of steps",
        returns_the_steps: "names of steps",
        accuses_all_if_any: "can be converted",
        finds_nobody: "is missing",
        says_whether: "the result is bool",
    },
}
