"""scikit-learn's trees and forests, with missing numbers and several targets.

scikit-learn compares float32 numbers with thresholds in double precision, and keeps for each split
to which side a missing number goes.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.frameworks.boosted_trees import label_values
from helpers.convert.frameworks.trees import Ensemble, Leaf, Split, Tree, write_ensemble
from helpers.convert.graph_builder import GraphBuilder

if TYPE_CHECKING:
    import onnx


def forest_graph(model: Any) -> "onnx.ModelProto":
    """A tree or a forest that answers with ``label`` and ``probabilities``, or with ``output``."""
    builder = GraphBuilder()
    rows = builder.cast(builder.input("input", np.float32, ("batch", model.n_features_in_)), np.float32)
    members = np.asarray(getattr(model, "estimators_", [model]), object).reshape(-1)
    if not hasattr(model, "predict_proba"):
        trees = [_tree(member, member.tree_.value[:, :, 0] / len(members)) for member in members]
        targets = model.n_outputs_
        builder.output("output", _summed(builder, rows, trees, model, targets), np.float32, ("batch", targets))
        return builder.model("the forest")
    counts = np.atleast_1d(model.n_classes_)
    trees = [_tree(member, _shares(member.tree_.value, counts) / len(members)) for member in members]
    scores = _summed(builder, rows, trees, model, int(counts.sum()))
    several = model.n_outputs_ > 1
    labels, tables, begin = [], [], 0
    for classes, count in zip(model.classes_ if several else [model.classes_], counts, strict=True):
        columns = builder.constant(np.arange(begin, begin + count), np.int64)
        table = builder.add("Gather", scores, columns, axis=1) if several else scores
        best = builder.add("ArgMax", table, axis=1, keepdims=int(several))
        labels.append(builder.add("Gather", builder.constant(label_values(classes)), best))
        tables.append(table)
        begin += count
    kind = label_values(np.concatenate(model.classes_) if several else model.classes_).dtype
    shape = ("batch", len(labels)) if several else ("batch",)
    builder.output("label", builder.add("Concat", *labels, axis=1) if several else labels[0], kind, shape)
    for place, (table, count) in enumerate(zip(tables, counts, strict=True)):
        builder.output(
            f"probabilities_{place}" if several else "probabilities", table, np.float32, ("batch", int(count))
        )
    return builder.model("the forest")


def isolation_graph(model: Any) -> "onnx.ModelProto":
    """An isolation forest: ``label``, ``scores`` (its decision_function) and ``score_samples``."""
    from sklearn.ensemble._iforest import _average_path_length

    builder = GraphBuilder()
    rows = builder.cast(builder.input("input", np.float32, ("batch", model.n_features_in_)), np.float32)
    trees = []
    for member, features in zip(model.estimators_, model.estimators_features_, strict=True):
        depths = _depths(member.tree_) + _average_path_length(member.tree_.n_node_samples)
        shares = depths[:, None] / len(model.estimators_)
        trees.append(_tree(member, shares, features))
    depth = _summed(builder, rows, trees, model, 1)
    unit = float(_average_path_length([model._max_samples])[0])
    power = builder.add("Div", depth, builder.constant(-unit, np.float32))
    samples = builder.add("Neg", builder.add("Pow", builder.constant(2, np.float32), power))
    scores = builder.add("Sub", samples, builder.constant(model.offset_, np.float32))
    inside = builder.add("Less", scores, builder.constant(0, np.float32))
    label = builder.add("Where", inside, builder.constant(-1, np.int64), builder.constant(1, np.int64))
    builder.output("label", label, np.int64, ("batch", 1))
    builder.output("scores", scores, np.float32, ("batch", 1))
    builder.output("score_samples", samples, np.float32, ("batch", 1))
    return builder.model("the forest")


def _summed(builder: GraphBuilder, rows: str, trees: list[Tree], model: Any, targets: int) -> str:
    return write_ensemble(builder, Ensemble(trees, model.n_features_in_, targets), rows)


def _tree(member: Any, adds: NDArray[Any], features: Any = None) -> Tree:
    """``adds`` is what each node adds to each target, if it is a leaf."""
    tree = member.tree_
    missing = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count, bool))
    columns = tree.feature if features is None else np.where(tree.feature < 0, 0, np.asarray(features)[tree.feature])
    nodes: list[Split | Leaf] = []
    for place, left in enumerate(tree.children_left):
        if left < 0:
            row = adds[place].reshape(-1)
            nodes.append(Leaf({target: float(value) for target, value in enumerate(row) if value or target == 0}))
        else:
            right, threshold = int(tree.children_right[place]), float(tree.threshold[place])
            nodes.append(Split(int(columns[place]), threshold, int(left), right, bool(missing[place])))
    return nodes


def _shares(value: NDArray[Any], counts: NDArray[Any]) -> NDArray[Any]:
    """The share of each class in a leaf, the outputs' classes side by side."""
    parts = [value[:, output, :count] for output, count in enumerate(counts)]
    return np.concatenate([part / np.maximum(part.sum(axis=1, keepdims=True), 1e-300) for part in parts], axis=1)


def _depths(tree: Any) -> NDArray[np.float64]:
    depths = np.zeros(tree.node_count)
    for place, (left, right) in enumerate(zip(tree.children_left, tree.children_right, strict=True)):
        if left >= 0:
            depths[[left, right]] = depths[place] + 1
    return depths
