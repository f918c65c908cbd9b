"""Decision trees of any library as one ONNX operator that answers exactly as they do.

The libraries differ in four things: whether a number equal to the threshold goes left, where a
missing number goes, how sets of categories are compared, and what a leaf holds. ``Split`` and
``Leaf`` say these explicitly; ``write_ensemble`` turns them into ``TreeEnsembleRegressor``, whose
thresholds are float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from helpers.convert.graph_builder import GraphBuilder

TREES_DOMAIN = "ai.onnx.ml"


@dataclass(frozen=True)
class Split:
    """Rows whose number is at most the threshold go left; so do missing ones, if ``nan_left``.

    With ``categories``, the rows go left whose number, cut to a whole one, is among them.
    """

    feature: int
    threshold: float
    left: int
    right: int
    nan_left: bool
    categories: frozenset[int] | None = None


@dataclass(frozen=True)
class Leaf:
    """What a tree adds to each target."""

    values: dict[int, float]


Tree = Sequence[Split | Leaf]  # the first is the root; left and right are places in the list


@dataclass
class Ensemble:
    """Trees whose leaves are added up.

    ``strict``: only numbers below the threshold go left. ``cut_negative``: a negative fraction, such as
    -0.5, is cut to category 0, as by a cast in C; else it is no category.
    """

    trees: list[Tree]
    features: int
    targets: int
    base: Sequence[float] = ()
    strict: bool = False
    cut_negative: bool = True


def write_ensemble(builder: GraphBuilder, ensemble: Ensemble, rows: str) -> str:
    """Add the trees to a graph; return the tensor of their sums, one column for each target."""
    rows, columns = _with_category_columns(builder, ensemble, rows)
    nodes = _Attributes(ensemble.strict)
    for number, tree in enumerate(ensemble.trees):
        for place in _reachable(tree):
            node = tree[place]
            if isinstance(node, Leaf):
                nodes.leaf(number, place, node)
            elif node.categories is None:
                nodes.split(number, place, node)
            else:  # the column holds 1 where the category is in the set
                nodes.split(number, place, Split(columns[_key(node)], 0.5, node.right, node.left, False))
    base = [float(value) for value in ensemble.base] or [0.0] * ensemble.targets
    return builder.add(
        "TreeEnsembleRegressor",
        rows,
        domain=TREES_DOMAIN,
        n_targets=ensemble.targets,
        base_values=base,
        aggregate_function="SUM",
        post_transform="NONE",
        **cast("dict[str, Any]", nodes.lists),
    )


def float32_threshold(threshold: float, strict: bool) -> Any:
    """The float32 that divides float32 numbers as the threshold does in double precision."""
    with np.errstate(over="ignore"):
        near = np.float32(threshold)
    if strict and float(near) < threshold:
        return np.nextafter(near, np.float32(np.inf))
    if not strict and float(near) > threshold:
        return np.nextafter(near, np.float32(-np.inf))
    return near


def _reachable(tree: Tree) -> list[int]:
    """Pruned nodes may still stand in a tree's lists."""
    found = [0]
    for place in found:
        node = tree[place]
        if isinstance(node, Split):
            found += [node.left, node.right]
    return found


class _Attributes:
    """The parallel lists in which the operator keeps its nodes."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        names = "treeids nodeids featureids values hitrates modes truenodeids falsenodeids missing_value_tracks_true"
        self.lists: dict[str, list[Any]] = {f"nodes_{name}": [] for name in names.split()}
        self.lists |= {f"target_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}

    def split(self, tree: int, place: int, node: Split) -> None:
        mode = "BRANCH_LT" if self.strict else "BRANCH_LEQ"
        value = float(float32_threshold(node.threshold, self.strict))
        self._node(tree, place, node.feature, value, mode, node.left, node.right, int(node.nan_left))

    def leaf(self, tree: int, place: int, node: Leaf) -> None:
        self._node(tree, place, 0, 0.0, "LEAF", 0, 0, 0)
        for target, weight in node.values.items():
            self.lists["target_treeids"].append(tree)
            self.lists["target_nodeids"].append(place)
            self.lists["target_ids"].append(target)
            self.lists["target_weights"].append(float(np.float32(weight)))

    def _node(self, tree: int, place: int, *rest: Any) -> None:
        feature, value, mode, left, right, missing = rest
        values = (tree, place, feature, value, 1.0, mode, left, right, missing)
        for kept, one in zip(self.lists.values(), values, strict=False):
            kept.append(one)


_Key = tuple[int, frozenset[int] | None, bool]


def _key(node: Split) -> _Key:
    return node.feature, node.categories, node.nan_left


def _with_category_columns(builder: GraphBuilder, ensemble: Ensemble, rows: str) -> tuple[str, dict[_Key, int]]:
    """Rows with a further column for each set of categories, which holds 1 for rows that go left.

    The operator itself has no sets. So each feature has a table with a line for each category, one
    for what is no category (a negative or a larger number) and one for a missing number.
    """
    keys: dict[int, list[_Key]] = {}
    for node in (node for tree in ensemble.trees for node in tree if isinstance(node, Split)):
        if node.categories is not None and _key(node) not in keys.setdefault(node.feature, []):
            keys[node.feature].append(_key(node))
    columns: dict[_Key, int] = {}
    parts = [rows]
    for feature, members in keys.items():
        count = 1 + max((category for _, member, _ in members for category in member or ()), default=-1)
        table: NDArray[np.float32] = np.zeros((count + 2, len(members)), np.float32)
        for place, (_, member, nan_left) in enumerate(members):
            table[sorted(member or ()), place] = 1
            table[count + 1, place] = nan_left
        first = ensemble.features + len(columns)
        columns |= {key: first + place for place, key in enumerate(members)}
        lowest = -1.0 if ensemble.cut_negative else float(np.nextafter(np.float32(0), np.float32(-1)))
        parts.append(_looked_up(builder, rows, feature, table, lowest))
    return (builder.add("Concat", *parts, axis=1) if keys else rows), columns


def _looked_up(builder: GraphBuilder, rows: str, feature: int, table: NDArray[np.float32], lowest: float) -> str:
    count = len(table) - 2
    values = builder.add("Gather", rows, builder.constant(feature, np.int64), axis=1)
    above = builder.add("Greater", values, builder.constant(lowest, np.float32))
    below = builder.add("Less", values, builder.constant(count, np.float32))
    known = builder.add("Where", builder.add("And", above, below), values, builder.constant(count, np.float32))
    missing = builder.constant(count + 1, np.float32)
    line = builder.add("Where", builder.add("IsNaN", values), missing, known)
    return builder.add("Gather", builder.constant(table), builder.cast(line, np.int64), axis=0)
