"""Models made by hand, whose every answer is known."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper


def save(
    path: Path, nodes: list[onnx.NodeProto], inputs: list[tuple], outputs: list[tuple], weights: tuple = ()
) -> Path:
    """Write a graph; inputs and outputs are (name, type, shape)."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(*given) for given in inputs],
        [helper.make_tensor_value_info(*given) for given in outputs],
        list(weights),
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def addition(path: Path, kind: int = TensorProto.FLOAT) -> Path:
    """sum = left + right, with a batch axis that both share; and left itself."""
    shape = ["batch", 3]
    nodes = [helper.make_node("Add", ["left", "right"], ["sum"]), helper.make_node("Identity", ["left"], ["same"])]
    inputs, outputs = [("left", kind, shape), ("right", kind, shape)], [("sum", kind, shape), ("same", kind, shape)]
    return save(path, nodes, inputs, outputs)


def relu(path: Path, kind: int = TensorProto.FLOAT) -> Path:
    """y = max(x, 0)"""
    return save(
        path, [helper.make_node("Relu", ["x"], ["y"])], [("x", kind, ["batch", 4])], [("y", kind, ["batch", 4])]
    )
