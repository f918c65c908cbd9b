"""Steps that skl2onnx writes with rounded limits or rounded categories, written exactly."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.frameworks.trees import float32_threshold
from helpers.convert.graph_builder import GraphBuilder

if TYPE_CHECKING:
    import onnx


def bins_graph(model: Any, dtype: Any) -> "onnx.ModelProto | None":
    """KBinsDiscretizer: a bin's number is the count of edges that the number has reached."""
    if model.encode not in ("ordinal", "onehot-dense"):
        return None

    def one(builder: GraphBuilder, value: str, place: int) -> str:
        edges = model.bin_edges_[place][1:-1]
        limits = [float32_threshold(edge, strict=True) for edge in edges] if dtype == np.float32 else edges
        if not len(limits):
            reached = builder.add("Mul", value, builder.constant(0, dtype))
            number = builder.cast(reached, np.float32)
        else:
            reached = builder.cast(builder.add("GreaterOrEqual", value, builder.constant([limits], dtype)), np.float32)
            number = builder.add("ReduceSum", reached, builder.constant([1], np.int64), keepdims=1)
        if model.encode == "ordinal":
            return number
        numbers = builder.constant([np.arange(model.n_bins_[place])], np.float32)
        return builder.cast(builder.add("Equal", number, numbers), np.float32)

    widths = [1] * len(model.n_bins_) if model.encode == "ordinal" else list(model.n_bins_)
    return _by_column(one, len(widths), int(sum(widths)), dtype)


def one_hot_graph(model: Any, dtype: Any) -> "onnx.ModelProto | None":
    """OneHotEncoder of numbers: exactly the known ones count."""
    plain = all(categories.dtype.kind in "iuf" for categories in model.categories_)
    dropped = model.drop_idx_ is not None or getattr(model, "_infrequent_enabled", False)
    if not plain or dropped or any(np.isnan(categories.astype(float)).any() for categories in model.categories_):
        return None

    def one(builder: GraphBuilder, value: str, place: int) -> str:
        known: NDArray[Any] = np.asarray(model.categories_[place], dtype)
        return builder.cast(builder.add("Equal", value, builder.constant(known[None])), np.float32)

    return _by_column(one, len(model.categories_), sum(map(len, model.categories_)), dtype)


def _by_column(one: Callable[[GraphBuilder, str, int], str], columns: int, width: int, dtype: Any) -> "onnx.ModelProto":
    builder = GraphBuilder()
    rows = builder.input("input", dtype, ("batch", columns))
    parts: Sequence[str] = [
        one(builder, builder.add("Gather", rows, builder.constant([place], np.int64), axis=1), place)
        for place in range(columns)
    ]
    builder.output("output", builder.add("Concat", *parts, axis=1), np.float32, ("batch", width))
    return builder.model("the step")
