"""LightGBM: its classes in scikit-learn's manner and its own Booster, from the model's own dump."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from helpers.convert.conversion import Converter, from_package
from helpers.convert.errors import ConversionError
from helpers.convert.frameworks import boosted_trees
from helpers.convert.frameworks.boosted_trees import Boosted, Link
from helpers.convert.frameworks.trees import Ensemble, Leaf, Split, Tree, write_ensemble
from helpers.convert.graph_builder import GraphBuilder
from helpers.convert.inputs import Arrays, Inputs
from helpers.convert.unchanged import itself

ZERO = float(np.float32(1e-35))  # LightGBM takes numbers up to this for 0: its kZeroThreshold
LARGEST = float(np.finfo(np.float32).max)
EXPONENTIAL = ("poisson", "gamma", "tweedie")
IDENTITY = (
    "regression",
    "regression_l1",
    "huber",
    "fair",
    "quantile",
    "mape",
    "lambdarank",
    "rank_xendcg",
    "custom",
    "",
)


def read(model: Any) -> Boosted:
    """The trees, and what is done with their sum."""
    dump = booster_of(model).dump_model()
    targets, columns = dump["num_tree_per_iteration"], dump["max_feature_idx"] + 1
    trees = [_Reader(columns).tree(each, place % targets, targets) for place, each in enumerate(dump["tree_info"])]
    if dump.get("average_output"):
        scale = targets / max(len(trees), 1)
        trees = [[_scaled(node, scale) for node in tree] for tree in trees]
    linear = any(len(leaf.values) > 1 or max(leaf.values, default=0) >= targets for leaf in _leaves(trees))
    ensemble = Ensemble(trees, columns, targets * (columns + 1) if linear else targets)
    zero_is_missing = sorted(_features_where_zero_is_missing(dump))

    def sums(builder: GraphBuilder, rows: str) -> str:
        if zero_is_missing:
            rows = _without_zeros(builder, rows, zero_is_missing, columns)
        summed = write_ensemble(builder, ensemble, rows)
        return _linear_sums(builder, summed, rows, targets, columns) if linear else summed

    return Boosted(columns, targets, link_of(str(dump.get("objective", ""))), sums)


def write(model: Any, example: Inputs, path: Path) -> None:
    import lightgbm

    if callable(getattr(model, "objective", None)):
        raise ConversionError(
            f"{type(model).__name__} was trained with an objective of your own, so its methods return raw scores.",
            "convert model.booster_, whose file answers with these scores.",
        )
    boosted = read(model)
    if isinstance(model, lightgbm.Booster):
        classes = boosted_trees.booster_classes(objective_of(model), boosted.targets)
    else:
        classes = np.asarray(model.classes_) if hasattr(model, "predict_proba") else None
    boosted_trees.write(boosted, classes, example, path)


def objective_of(booster: Any) -> str:
    return str(booster.dump_model(num_iteration=1).get("objective", "")).split(" ")[0]


def booster_of(model: Any) -> Any:
    import lightgbm

    return model if isinstance(model, lightgbm.Booster) else model.booster_


def answer(model: Any, arrays: Inputs) -> Arrays:
    import lightgbm

    rows = boosted_trees.table(arrays)
    if not isinstance(model, lightgbm.Booster):
        return boosted_trees.classified(model, rows)
    return boosted_trees.from_booster(objective_of(model), np.asarray(model.predict(rows)))


def link_of(objective: str) -> Link:
    """The objective with its settings, such as "binary sigmoid:1"."""
    name, _, settings = objective.partition(" ")
    slope = re.search(r"sigmoid:([\d.e+-]+)", settings)
    if name in ("binary", "multiclassova"):
        return lambda builder, sums: builder.add("Sigmoid", _times(builder, sums, float(slope[1]) if slope else 1))
    if name == "cross_entropy":
        return "sigmoid"
    if name == "cross_entropy_lambda":
        return lambda builder, sums: builder.add("Softplus", sums)
    if name in EXPONENTIAL:
        return "exp"
    if name == "multiclass":
        return "softmax"
    if name in IDENTITY and "sqrt" in settings:
        return lambda builder, sums: builder.add("Mul", sums, builder.add("Abs", sums))
    if name in IDENTITY:
        return "identity"
    raise ConversionError(
        f"The model was trained with the objective {name!r}, which this kit cannot write as ONNX.",
        f"train it with binary, multiclass, multiclassova, cross_entropy, {', '.join((*EXPONENTIAL, *IDENTITY[:-2]))}.",
    )


class _Reader:
    """Nested dictionaries into a list of nodes, without recursion: trees may be deep."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.nodes: list[Split | Leaf] = []

    def tree(self, info: dict[str, Any], target: int, targets: int) -> Tree:
        self.target, self.targets = target, targets
        self.nodes.append(Leaf({}))
        waiting = [(0, info["tree_structure"])]
        while waiting:
            place, node = waiting.pop()
            if "leaf_value" in node:
                self._leaf(place, node)
                continue
            left, right = len(self.nodes), len(self.nodes) + 1
            self.nodes += [Leaf({}), Leaf({})]
            self.nodes[place] = self._split(node, left, right)
            waiting += [(left, node["left_child"]), (right, node["right_child"])]
        return self.nodes

    def _split(self, node: dict[str, Any], left: int, right: int) -> Split:
        if node["decision_type"] == "==":
            members = frozenset(int(float(one)) for one in str(node["threshold"]).split("||"))
            return Split(node["split_feature"], 0.0, left, right, False, members)
        threshold = _with_zeros_together(float(node["threshold"]))
        # Without a place for missing numbers, they count as 0.
        nan_left = threshold >= 0 if node["missing_type"] == "None" else bool(node["default_left"])
        return Split(node["split_feature"], threshold, left, right, nan_left)

    def _leaf(self, place: int, node: dict[str, Any]) -> None:
        """A leaf; a linear one adds its constant and a weight for each feature, unless one is missing or infinite."""
        features, weights = node.get("leaf_features", []), node.get("leaf_coeff", [])
        value = Leaf({self.target: node["leaf_value"]})
        for feature in features:
            finite, there, missing = (len(self.nodes) + offset for offset in range(3))
            self.nodes += [Leaf({}), Leaf({}), value, value]
            self.nodes[place] = Split(feature, LARGEST, finite, missing, False)
            self.nodes[finite] = Split(feature, -np.inf, missing + 1, there, True)
            place = there
        if features:
            columns = {self.targets + self.target * self.columns + f: w for f, w in zip(features, weights, strict=True)}
            value = Leaf({self.target: node["leaf_const"], **columns})
        elif "leaf_const" in node:
            value = Leaf({self.target: node["leaf_const"]})
        self.nodes[place] = value


def _with_zeros_together(threshold: float) -> float:
    """All numbers that LightGBM takes for zero stay on one side; its dump writes 1e300 for infinity."""
    if threshold >= 1e300:
        return float("inf")
    if 0 <= threshold <= ZERO:
        return ZERO
    return float(np.nextafter(np.float32(-ZERO), np.float32(-1))) if -ZERO <= threshold < 0 else threshold


def _leaves(trees: list[Tree]) -> list[Leaf]:
    return [node for tree in trees for node in tree if isinstance(node, Leaf)]


def _scaled(node: Split | Leaf, factor: float) -> Split | Leaf:
    return Leaf({target: value * factor for target, value in node.values.items()}) if isinstance(node, Leaf) else node


def _linear_sums(builder: GraphBuilder, summed: str, rows: str, targets: int, columns: int) -> str:
    """Linear leaves have added up to one weight for each feature: a product with the row is left to do."""
    constants, weights = (
        builder.add("Slice", summed, *(builder.constant([value], np.int64) for value in (begin, end, 1)))
        for begin, end in ((0, targets), (targets, targets * (columns + 1)))
    )
    missing = builder.add("Or", builder.add("IsNaN", rows), builder.add("IsInf", rows))
    there = builder.add("Where", missing, builder.constant(0, np.float32), rows)
    shape = builder.constant([-1, targets, columns], np.int64)
    column = builder.add("Unsqueeze", there, builder.constant([2], np.int64))
    product = builder.add("MatMul", builder.add("Reshape", weights, shape), column)
    return builder.add("Add", constants, builder.add("Squeeze", product, builder.constant([2], np.int64)))


def _times(builder: GraphBuilder, sums: str, factor: float) -> str:
    return sums if factor == 1 else builder.add("Mul", sums, builder.constant(factor, np.float32))


def _features_where_zero_is_missing(dump: dict[str, Any]) -> set[int]:
    found: set[int] = set()
    waiting = [tree["tree_structure"] for tree in dump["tree_info"]]
    while waiting:
        node = waiting.pop()
        if "split_feature" in node:
            if node["missing_type"] == "Zero" and node["decision_type"] == "<=":
                found.add(node["split_feature"])
            waiting += [node["left_child"], node["right_child"]]
    return found


def _without_zeros(builder: GraphBuilder, rows: str, features: list[int], columns: int) -> str:
    """Zero is missing in these columns, and so is what was missing already."""
    chosen = np.isin(np.arange(columns), features)
    small = builder.add("LessOrEqual", builder.add("Abs", rows), builder.constant(ZERO, np.float32))
    missing = builder.add("And", small, builder.constant(chosen))
    return builder.add("Where", missing, builder.constant(np.nan, np.float32), rows)


CONVERTER = Converter(
    "LightGBM",
    from_package("lightgbm"),
    write,
    answer,
    needs=("lightgbm", "onnx"),
    unchanged=itself,
    defines_missing=True,
)
