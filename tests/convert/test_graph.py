"""Reading a graph: hand-made ones whose every part is known, and real ones."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from helpers import zoo
from helpers.classroom import graph_table
from helpers.convert import read_graph
from helpers.errors import UserError


@pytest.fixture
def two_steps(tmp_path: Path) -> Path:
    """y = relu(x @ weight), made by hand."""
    weight = numpy_helper.from_array(np.ones((4, 3), np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["product"]), helper.make_node("Relu", ["product"], ["y"])],
        "two steps",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [weight],
    )
    path = tmp_path / "two.onnx"
    onnx.save(helper.make_model(graph, producer_name="hand", opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def test_every_part_of_a_graph(two_steps: Path) -> None:
    graph = read_graph(two_steps)
    assert [str(value) for value in graph.inputs] == ["x: float32 (batch, 4)"]
    assert [str(value) for value in graph.outputs] == ["y: float32 (batch, 3)"]
    assert graph.operators() == {"MatMul": 1, "Relu": 1}
    assert (graph.weight_count, graph.weight_bytes, graph.opset, graph.producer) == (12, 48, 20, "hand")
    first, second = graph.nodes
    assert (first.reads, second.reads) == (("x",), ("product",))
    assert [weight.shape for weight in first.weights] == [(4, 3)]
    assert first.makes[0].shape == ("batch", 3), "shapes between the steps are inferred"
    assert graph.files == {"two.onnx": two_steps.stat().st_size}


def test_the_table_says_the_same(two_steps: Path) -> None:
    text = repr(graph_table(two_steps))
    assert "two.onnx: x: float32 (batch, 4) in, y: float32 (batch, 3) out; 2 steps, 12 weights, opset 20" in text
    assert text.splitlines()[-1].split() == ["2", "Relu", "product", "none", "y", "(batch,", "3)"]


def test_external_weights_are_counted_and_their_file_named(tmp_path: Path) -> None:
    path = tmp_path / "digits.onnx"
    model = zoo.digits_cnn()
    torch.onnx.export(model, (torch.zeros(2, 1, 8, 8),), path, dynamic_shapes=({0: "batch"},), verbose=False)
    graph = read_graph(path)
    assert set(graph.files) == {"digits.onnx", "digits.onnx.data"}
    assert 600_000 < graph.weight_bytes < 620_000
    assert graph.inputs[0].shape == ("batch", 1, 8, 8)
    (tmp_path / "digits.onnx.data").unlink()
    assert read_graph(path).weight_count == graph.weight_count, "the graph can be read without its weights"


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 100, b"{}"], ids=["empty", "text", "zeros", "json"])
def test_what_is_no_model_gets_a_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not an ONNX model"):
        read_graph(path)


def test_a_truncated_model_gets_a_sentence(two_steps: Path) -> None:
    two_steps.write_bytes(two_steps.read_bytes()[:-20])
    with pytest.raises(UserError, match="cut short"):
        read_graph(two_steps)


def test_a_missing_file_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        read_graph(tmp_path / "none.onnx")
