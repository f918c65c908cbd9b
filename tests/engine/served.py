"""Models of the tests, served for real: on a socket, over HTTP."""

import io
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from helpers.store import Store


def twice_and_sum(path: Path, factor: float = 2.0) -> Path:
    """A model with two inputs and two outputs: ``scaled`` = left × factor + right, and ``total``, its sum."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["left", "factor"], ["larger"]),
            helper.make_node("Add", ["larger", "right"], ["scaled"]),
            helper.make_node("ReduceSum", ["scaled", "axes"], ["total"], keepdims=0),
        ],
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("left", "right")],
        [
            helper.make_tensor_value_info("scaled", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["batch"]),
        ],
        [
            helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor]),
            onnx.numpy_helper.from_array(np.array([1], np.int64), "axes"),
        ],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def store_with_two_versions(folder: Path) -> Store:
    store = Store(folder / "store")
    store.save("net", twice_and_sum(folder / "net.onnx", 2.0))
    store.alias("net:1", "prod")
    store.save("net", twice_and_sum(folder / "net.onnx", 3.0))
    return store


def picture_file(pixels: np.ndarray, form: str) -> bytes:
    """A picture as Pillow would save it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()
