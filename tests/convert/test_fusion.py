"""Which steps became which: on graphs whose answer is known."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from helpers import zoo
from helpers.convert import compare_graphs, quietly, read_graph, to_onnx
from helpers.runtime import optimize


def traced(model: nn.Module, example: torch.Tensor, path: Path) -> Path:
    with quietly():
        torch.onnx.export(
            model, (example,), path, input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}}, dynamo=False
        )
    return path


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return traced(zoo.resnet18(), torch.rand(2, 3, 64, 64), tmp_path_factory.mktemp("resnet") / "resnet18.onnx")


def test_a_graph_became_itself(resnet: Path) -> None:
    same = compare_graphs(resnet, resnet)
    assert {step.kind for step in same.steps} == {"kept"}
    assert not same.folded and not same.removed
    assert all(step.before == (step.after,) for step in same.steps)


@pytest.mark.parametrize("level", ["none", "basic", "extended", "layout", "all"])
def test_every_step_is_accounted_for_once(level: str, resnet: Path, tmp_path: Path) -> None:
    after = optimize(resnet, tmp_path / "after.onnx", level)
    found = compare_graphs(resnet, after)
    before = [node for step in found.steps for node in step.before] + [*found.folded, *found.removed]
    names = sorted(node.name for node in before)
    assert names == sorted(node.name for node in read_graph(resnet).nodes)
    assert [step.after.name for step in found.steps] == [node.name for node in read_graph(after).nodes]


def test_resnet18_in_numbers(resnet: Path, tmp_path: Path) -> None:
    assert len(read_graph(resnet).nodes) == 65
    basic = compare_graphs(resnet, optimize(resnet, tmp_path / "basic.onnx", "basic"))
    assert len(basic.steps) == 49 and {node.operator for node in basic.folded} == {"Identity"} and not basic.fused
    extended = compare_graphs(resnet, optimize(resnet, tmp_path / "extended.onnx", "extended"))
    assert len(extended.steps) == 40
    assert [[node.operator for node in step.before] for step in extended.fused] == [["Conv", "Relu"]] * 9
    blocked = compare_graphs(resnet, optimize(resnet, tmp_path / "all.onnx", "all"))
    if any(step.after.domain == "com.microsoft.nchwc" for step in blocked.steps):  # not every processor has the layout
        groups = ["+".join(node.operator for node in step.before) for step in blocked.fused]
        assert len(blocked.steps) <= 25
        assert groups.count("Conv+Add+Relu") == 8 and groups.count("Conv+Relu") == 9
    text = str(extended)
    assert text.startswith("65 steps became 40") and "Conv + Relu -> FusedConv" in text
    assert "computed beforehand: Identity (16)" in text


def test_a_batch_normalisation_goes_into_its_convolution(tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2, 4, 4]) for name in ("x", "y")]
    weights = {"w": np.ones((2, 2, 1, 1)), "s": np.ones(2), "b": np.ones(2), "m": np.zeros(2), "v": np.ones(2)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], name="norm"),
        helper.make_node("Relu", ["n"], ["y"], name="relu"),
        helper.make_node("Neg", ["c"], ["nobody"], name="dead"),
    ]
    tensors = [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes[:3], "small", value[:1], value[1:], tensors)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, tmp_path / "x.onnx")
    found = compare_graphs(tmp_path / "x.onnx", optimize(tmp_path / "x.onnx", tmp_path / "basic.onnx", "basic"))
    assert [[node.operator for node in step.before] for step in found.fused] == [["Conv", "BatchNormalization"]]
    found = compare_graphs(tmp_path / "x.onnx", optimize(tmp_path / "x.onnx", tmp_path / "more.onnx", "extended"))
    assert [[node.name for node in step.before] for step in found.steps] == [["conv", "norm", "relu"]]
    model.graph.node.append(nodes[3])
    onnx.save(model, tmp_path / "dead.onnx")
    found = compare_graphs(tmp_path / "dead.onnx", tmp_path / "basic.onnx")
    assert [node.name for node in found.removed] == ["dead"]


def test_a_reader_in_between_keeps_the_steps_apart(tmp_path: Path) -> None:
    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Conv2d(1, 2, 3)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            made = self.inner(x)
            return made.relu(), made

    path = to_onnx(Watched(), np.ones((2, 1, 5, 5), np.float32), tmp_path / "x.onnx")
    found = compare_graphs(path, optimize(path, tmp_path / "after.onnx", "extended"))
    assert not found.fused and {step.kind for step in found.steps} == {"kept"}


def test_the_same_computed_twice_is_credited_to_the_one_that_stays(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 20]>
        tiny (float[n, 4] x) => (float[n, 4] y)
        <float two = {2.0}, float three = {3.0}>
        {
            six    = Mul (two, three)
            scaled = Mul (x, six)
            same   = Identity (scaled)
            again  = Mul (x, six)
            deeper = Exp (again)
            twice  = Exp (same)
            y      = Add (deeper, twice)
        }""")
    for number, node in enumerate(model.graph.node):
        node.name = f"{number} {node.output[0]}"
    onnx.save(model, tmp_path / "x.onnx")
    found = compare_graphs(tmp_path / "x.onnx", optimize(tmp_path / "x.onnx", tmp_path / "after.onnx", "basic"))
    assert [step.after.operator for step in found.steps] == ["Mul", "Exp", "Add"]
    groups = {step.after.operator: sorted(node.operator for node in step.before) for step in found.steps}
    assert groups["Mul"] == ["Mul", "Mul"] and groups["Add"] == ["Add"]
    # The Identity goes with the Exp that read it, or is removed if it is the other that stays.
    assert groups["Exp"] + [node.operator for node in found.removed] == ["Exp", "Exp", "Identity"]
    assert [node.name for node in found.folded] == ["0 six"]
    accounted = sum(len(step.before) for step in found.steps) + len(found.folded) + len(found.removed)
    assert accounted == 7
