"""Models for clients of other servers: each type of tensor there and back, class scores, missing values."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from helpers.store import Store
from tests.engine.served import twice_and_sum

VALUES: dict[str, np.ndarray] = {
    "BOOL": np.array([[True, False], [False, True]]),
    "UINT8": np.array([[0, 255], [1, 2]], np.uint8),
    "UINT16": np.array([[0, 65535], [1, 2]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1], [1, 2]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1], [1, 2]], np.uint64),
    "INT8": np.array([[-128, 127], [1, 2]], np.int8),
    "INT16": np.array([[-32768, 32767], [1, 2]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1], [1, 2]], np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1], [1, 2]], np.int64),
    "FP16": np.array([[0.5, -65504.0], [0.1, 2]], np.float16),
    "FP32": np.array([[0.1, -3.4e38], [1e-40, 2]], np.float32),
    "FP64": np.array([[0.1, -1.7e308], [5e-324, 2]], np.float64),
    "BYTES": np.array([["", "straße"], ["\U0001f600 \"'\n", "x" * 300]], object),
}
"""A tensor of each type of Open Inference, with what is hardest about it."""


def mirror(path: Path) -> Path:
    """An input for each type, named after it, and an output that is the same."""
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in VALUES.items()}
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in VALUES]
    inputs = [helper.make_tensor_value_info(name, kind, ["batch", 2]) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(f"{name}_out", kind, ["batch", 2]) for name, kind in kinds.items()]
    return _saved(path, nodes, inputs, outputs)


def scores(path: Path) -> Path:
    """Two scores for each row, which are the row itself, and their sum."""
    nodes = [
        helper.make_node("Identity", ["x"], ["scores"]),
        helper.make_node("ReduceSum", ["x", "axes"], ["value"], keepdims=1),
    ]
    return _saved(path, nodes, [_floats("x", 2)], [_floats("scores", 2), _floats("value", 1)], [_axes()])


def missing(path: Path) -> Path:
    """The sum of each row, in which a missing value counts as nothing."""
    nodes = [
        helper.make_node("IsNaN", ["x"], ["absent"]),
        helper.make_node("Where", ["absent", "nothing", "x"], ["there"]),
        helper.make_node("ReduceSum", ["there", "axes"], ["value"], keepdims=1),
    ]
    nothing = helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0])
    return _saved(path, nodes, [_floats("x", 2)], [_floats("value", 1)], [_axes(), nothing])


def store_for_clients(folder: Path) -> Store:
    store = Store(folder / "store")
    store.save("net", twice_and_sum(folder / "net.onnx"))
    store.save("mirror", mirror(folder / "mirror.onnx"))
    store.save("scores", scores(folder / "scores.onnx"), metadata={"classes": ["no", "yes"]})
    store.alias("scores:1", "prod")
    store.save("missing", missing(folder / "missing.onnx"))
    return store


def _floats(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])


def _axes() -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.array([1], np.int64), "axes")


def _saved(path: Path, nodes: list, inputs: list, outputs: list, weights: list | None = None) -> Path:
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, weights or [])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path
