"""What an ONNX file says of the inputs that matter to it: the numbers with which it compares them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

FAR = 1e30  # beyond it, sums overflow
MOST_NUMBERS = 64  # in a constant that counts as short


@dataclass(frozen=True)
class Clues:
    """What a file says of the inputs that matter to it."""

    thresholds: dict[int, list[float]]  # by column, where trees read the input itself
    constants: Sequence[float]
    asks_for_missing: bool
    rounds_whole_numbers: bool  # an input of whole numbers becomes float32 at once
    picks_among_ties: bool  # which of several equal numbers comes first is left open


def read_clues(path: Path) -> Clues:
    import onnx

    model = onnx.load(path, load_external_data=False)
    asks = any(node.op_type in ("IsNaN", "Imputer") for node in model.graph.node)
    inputs = {value.name for value in model.graph.input}
    rounds = any(
        node.op_type == "Cast" and node.input[0] in inputs and node.attribute[0].i == onnx.TensorProto.FLOAT
        for node in model.graph.node
    )
    picks = any(node.op_type == "TopK" for node in model.graph.node)
    return Clues(thresholds(model), small_constants(model), asks, rounds, picks)


def thresholds(model: "onnx.ModelProto") -> dict[int, list[float]]:
    """For each column, the numbers with which trees compare it, where they read the input itself."""
    inputs = {value.name for value in model.graph.input}
    found: dict[int, set[float]] = {}
    for node in model.graph.node:
        if node.op_type in ("Identity", "Cast") and node.input[0] in inputs and len(inputs) == 1:
            inputs.add(node.output[0])
        if node.op_type.startswith("TreeEnsemble") and node.input[0] in inputs:
            values = {attribute.name: attribute for attribute in node.attribute}
            modes = values["nodes_modes"].strings
            numbers = zip(values["nodes_featureids"].ints, values["nodes_values"].floats, modes, strict=False)
            for feature, value, mode in numbers:
                if mode != b"LEAF" and abs(value) < FAR:
                    found.setdefault(feature, set()).add(value)
    return {feature: sorted(values) for feature, values in sorted(found.items())}


def small_constants(model: "onnx.ModelProto") -> list[float]:
    """The numbers of the file's short constants, without those that every file has."""
    import onnx

    tensors = list(model.graph.initializer)
    tensors += [
        a.t for node in model.graph.node if node.op_type == "Constant" for a in node.attribute if a.HasField("t")
    ]
    found: set[float] = set()
    for tensor in tensors:
        if (
            tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
            and np.prod(tensor.dims) <= MOST_NUMBERS
            and not tensor.external_data
        ):
            found |= {float(one) for one in onnx.numpy_helper.to_array(tensor).reshape(-1)}
    return sorted(one for one in found if np.isfinite(one) and abs(one) < 1e6)
