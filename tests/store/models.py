"""A small ONNX model for the tests of the store: it multiplies."""

import numpy as np
import onnx
from onnx import TensorProto, helper

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def multiply_by(number: float) -> bytes:
    """The bytes of a model whose answer tells which model it was."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "by"], ["y"])],
        "multiply",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor("by", TensorProto.FLOAT, [1], [number])],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
