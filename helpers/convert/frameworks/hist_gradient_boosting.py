"""scikit-learn's HistGradientBoosting, with its categories and its thresholds in double precision."""

from typing import Any

import numpy as np

from helpers.convert.errors import ConversionError
from helpers.convert.frameworks.boosted_trees import Boosted
from helpers.convert.frameworks.trees import Ensemble, Leaf, Split, Tree, write_ensemble
from helpers.convert.graph_builder import GraphBuilder

LINKS = {
    "log_loss": "sigmoid",
    "poisson": "exp",
    "gamma": "exp",
    "squared_error": "identity",
    "absolute_error": "identity",
    "quantile": "identity",
}


def read(model: Any) -> Boosted:
    """The trees, and what is done with their sum."""
    rounds = model._predictors
    targets, columns = len(rounds[0]) if rounds else 1, model.n_features_in_
    if model.loss not in LINKS:
        raise ConversionError(
            f"{type(model).__name__} was trained with the loss {model.loss!r}, which this kit cannot write as ONNX.",
            f"train it with one of {', '.join(LINKS)}.",
        )
    base = np.broadcast_to(np.asarray(model._baseline_prediction, np.float64).reshape(-1), targets)
    trees = [_tree(predictor, target) for round_ in rounds for target, predictor in enumerate(round_)]
    ensemble = Ensemble(trees, columns, targets, [float(one) for one in base])
    encoded = _encoded_categories(model)

    def sums(builder: GraphBuilder, rows: str) -> str:
        return write_ensemble(builder, ensemble, _encode(builder, rows, encoded, columns) if encoded else rows)

    return Boosted(columns, targets, "softmax" if targets > 1 else LINKS[model.loss], sums)


def _tree(predictor: Any, target: int) -> Tree:
    nodes: list[Split | Leaf] = []
    for node in predictor.nodes:
        if node["is_leaf"]:
            nodes.append(Leaf({target: float(node["value"])}))
            continue
        missing = bool(node["missing_go_to_left"])
        left, right, feature = int(node["left"]), int(node["right"]), int(node["feature_idx"])
        if node["is_categorical"]:
            members = _members(predictor.raw_left_cat_bitsets[node["bitset_idx"]])
            nodes.append(Split(feature, 0.0, left, right, missing, members))
        else:
            nodes.append(Split(feature, float(node["num_threshold"]), left, right, missing))
    return nodes


def _members(bits: Any) -> frozenset[int]:
    """The categories of a set that is kept as 8 words of 32 bits."""
    return frozenset(32 * place + bit for place, word in enumerate(bits) for bit in range(32) if int(word) >> bit & 1)


def _encoded_categories(model: Any) -> list[tuple[int, Any]]:
    """For each column that scikit-learn turns into codes: its place, and its categories in order.

    The model puts these columns first, and then the others.
    """
    if getattr(model, "_preprocessor", None) is None:
        return []
    categories = model._preprocessor.named_transformers_["encoder"].categories_
    places = np.flatnonzero(model.is_categorical_)
    return list(zip((int(place) for place in places), categories, strict=True))


def _encode(builder: GraphBuilder, rows: str, encoded: list[tuple[int, Any]], columns: int) -> str:
    """Codes first, as the trees count their columns; what is no known category is missing."""
    parts = []
    for place, categories in encoded:
        known = np.asarray([value for value in categories if value == value], np.float32)
        value = builder.add("Gather", rows, builder.constant([place], np.int64), axis=1)
        same = builder.cast(builder.add("Equal", value, builder.constant(known[None])), np.float32)
        code = builder.add("MatMul", same, builder.constant(np.arange(len(known))[:, None], np.float32))
        found = builder.add("ReduceMax", same, builder.constant([1], np.int64), keepdims=1)
        is_known = builder.add("Greater", found, builder.constant(0.5, np.float32))
        parts.append(builder.add("Where", is_known, code, builder.constant(np.nan, np.float32)))
    coded = {place for place, _ in encoded}
    others = [place for place in range(columns) if place not in coded]
    if others:
        parts.append(builder.add("Gather", rows, builder.constant(others, np.int64), axis=1))
    return builder.add("Concat", *parts, axis=1)
