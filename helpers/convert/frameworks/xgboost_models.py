"""XGBoost: its classes in scikit-learn's manner and its own Booster, from the model's own JSON."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.conversion import Converter, from_package
from helpers.convert.errors import ConversionError
from helpers.convert.frameworks import boosted_trees
from helpers.convert.frameworks.boosted_trees import Boosted
from helpers.convert.frameworks.trees import Ensemble, Leaf, Split, Tree, write_ensemble
from helpers.convert.graph_builder import GraphBuilder
from helpers.convert.inputs import Arrays, Inputs
from helpers.convert.unchanged import itself

# How an objective turns the sum of the leaves into a prediction, and its start value into a leaf.
LINKS = {
    "reg:logistic": "sigmoid",
    "binary:logistic": "sigmoid",
    "binary:logitraw": "identity",
    "binary:hinge": "step",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "survival:cox": "exp",
    "survival:aft": "exp",
    "multi:softmax": "argmax",
    "multi:softprob": "softmax",
    "reg:squarederror": "identity",
    "reg:squaredlogerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:absoluteerror": "identity",
    "reg:quantileerror": "identity",
    "reg:expectileerror": "identity",
    "rank:pairwise": "identity",
    "rank:ndcg": "identity",
    "rank:map": "identity",
}
SMALLEST = 1e-6  # a start value that would be infinite is kept this far from its end


def _logit(score: float) -> float:
    score = min(max(score, SMALLEST), 1 - SMALLEST)
    return -math.log(1 / score - 1)


INVERSE: dict[str, Callable[[float], float]] = {"sigmoid": _logit, "exp": math.log}


def read(model: Any) -> Boosted:
    """The trees, or the weights, and what is done with their sum."""
    import xgboost

    booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
    learner = json.loads(booster.save_raw("json"))["learner"]
    objective = learner["objective"]["name"]
    link = LINKS.get(objective)
    if link is None:
        raise ConversionError(
            f"{type(model).__name__} was trained with {objective!r}, an objective that this kit cannot write as ONNX.",
            f"train it with one of {', '.join(LINKS)}.",
        )
    settings = learner["learner_model_param"]
    targets = max(int(settings["num_class"]), int(settings["num_target"]), 1)
    score = np.broadcast_to(np.array(json.loads(f"[{settings['base_score'].strip('[]')}]"), np.float64), targets)
    base = [INVERSE.get(link, float)(float(one)) for one in score]
    missing = float(getattr(model, "missing", np.nan))
    gradient = learner["gradient_booster"]
    columns = int(settings["num_feature"])
    if gradient["name"] == "gblinear":
        weights = np.array(gradient["model"]["weights"], np.float32).reshape(columns + 1, targets)
        # Here XGBoost adds the first start value to every target.
        bias = weights[-1] + np.float32(base[0])
        return Boosted(
            columns, targets, link, lambda builder, rows: _linear(builder, rows, weights[:-1], bias), missing
        )
    forest = gradient.get("gbtree", gradient)["model"]
    end = forest["iteration_indptr"][_rounds(model, len(forest["iteration_indptr"]) - 1)]
    scale = gradient.get("weight_drop", [1.0] * end)
    trees = [
        _tree(tree, target, factor, columns)
        for tree, target, factor in zip(forest["trees"][:end], forest["tree_info"][:end], scale, strict=False)
    ]
    ensemble = Ensemble(trees, columns, targets, base, strict=True, cut_negative=False)
    return Boosted(columns, targets, link, lambda builder, rows: write_ensemble(builder, ensemble, rows), missing)


def write(model: Any, example: Inputs, path: Path) -> None:
    import xgboost

    boosted = read(model)
    if isinstance(model, xgboost.Booster):
        classes = boosted_trees.booster_classes(objective_of(model), boosted.targets)
    else:
        classes = np.asarray(model.classes_) if hasattr(model, "predict_proba") else None
        if boosted.link == "argmax":  # asked in scikit-learn's manner, it answers with probabilities too
            boosted = dataclasses.replace(boosted, link="softmax")
    boosted_trees.write(boosted, classes, example, path, label_only=boosted.link == "argmax")


def objective_of(booster: Any) -> str:
    return str(json.loads(booster.save_config())["learner"]["objective"]["name"])


def answer(model: Any, arrays: Inputs) -> Arrays:
    import xgboost

    rows = boosted_trees.table(arrays)
    if not isinstance(model, xgboost.Booster):
        label, *others = boosted_trees.classified(model, rows)
        return (label.astype(np.int64) if others and label.ndim > 1 else label, *others)
    types = (
        {} if arrays.frame is not None else {"feature_names": model.feature_names, "feature_types": model.feature_types}
    )
    given = model.predict(xgboost.DMatrix(rows, enable_categorical=True, **types))
    return boosted_trees.from_booster(objective_of(model), np.asarray(given))


def _rounds(model: Any, trained: int) -> int:
    """A model in scikit-learn's manner predicts with the rounds up to its best one; a Booster with all."""
    best = getattr(model, "best_iteration", None) if hasattr(model, "get_booster") and _stopped_early(model) else None
    return trained if best is None else int(best) + 1


def _stopped_early(model: Any) -> bool:
    return getattr(model, "early_stopping_rounds", None) is not None


def _linear(builder: GraphBuilder, rows: str, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
    """A missing number adds nothing."""
    there = builder.add("Where", builder.add("IsNaN", rows), builder.constant(0, np.float32), rows)
    product = builder.add("MatMul", there, builder.constant(weights))
    return builder.add("Add", product, builder.constant(bias))


def _tree(tree: dict[str, Any], target: int, factor: float, columns: int) -> Tree:
    vector = int(tree["tree_param"]["size_leaf_vector"])
    sets = {
        node: frozenset(tree["categories"][begin : begin + size])
        for node, begin, size in zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        )
    }
    nodes: list[Split | Leaf] = []
    for place, left in enumerate(tree["left_children"]):
        right, nan_left = tree["right_children"][place], bool(tree["default_left"][place])
        if left == -1 and vector > 1:
            values = tree["leaf_weights"][right * vector : (right + 1) * vector]
            nodes.append(Leaf({column: value * factor for column, value in enumerate(values)}))
        elif left == -1:
            nodes.append(Leaf({target: tree["split_conditions"][place] * factor}))
        elif place in sets:  # here the categories of the set go right
            nodes.append(Split(tree["split_indices"][place], 0.0, right, left, not nan_left, sets[place]))
        else:
            threshold = float(np.float32(tree["split_conditions"][place]))
            nodes.append(Split(tree["split_indices"][place], threshold, left, right, nan_left))
    return nodes


CONVERTER = Converter(
    "XGBoost", from_package("xgboost"), write, answer, needs=("xgboost", "onnx"), unchanged=itself, defines_missing=True
)
