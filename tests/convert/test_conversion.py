"""One call for every framework: what comes out, what is refused, and how one's own is added."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from helpers.convert import Converter, conversion, from_package, parity, read_graph, register, to_onnx
from helpers.convert.conversion import converter_for
from helpers.convert.inputs import read_example, two_rows
from helpers.errors import UserError

ROWS = np.random.default_rng(0).random((5, 3), dtype=np.float32)


class Scale:
    """A framework of one's own: it multiplies."""

    def __init__(self, by: list[float]) -> None:
        self.by = np.array(by, np.float32)


def write_scale(model: Scale, example: tuple[np.ndarray, ...], path: Path) -> None:
    columns = example[0].shape[1]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["rows", "by"], ["scaled"])],
        "scale",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info("scaled", TensorProto.FLOAT, [None, columns])],
        [onnx.numpy_helper.from_array(model.by, "by")],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)


SCALE = Converter("scale", lambda kind: kind is Scale, write_scale, lambda model, arrays: (arrays[0] * model.by,))


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_registered", [])


def test_a_framework_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no converter for a .*Scale") as refused:
        to_onnx(Scale([1, 2, 3]), ROWS, tmp_path / "scale.onnx")
    assert "helpers.convert.register" in refused.value.remedy and "scikit-learn" in refused.value.remedy
    register(SCALE)
    path = to_onnx(Scale([1, 2, 3]), ROWS, tmp_path / "new" / "scale.onnx")
    assert parity(Scale([1, 2, 3]), path, [ROWS]).largest == 0
    assert parity(Scale([1, 2, 4]), path, [ROWS]).largest > 0.1, "another model is no parity"
    (value,) = read_graph(path).inputs
    assert value.shape == ("batch", 3)


def test_the_newest_of_a_name_is_the_one_that_counts(tmp_path: Path) -> None:
    register(SCALE)
    register(Converter("scale", SCALE.handles, write_scale, lambda model, arrays: (arrays[0],)))
    assert [known.name for known in conversion.converters()].count("scale") == 1
    path = to_onnx(Scale([2, 2, 2]), ROWS, tmp_path / "x.onnx", verify=False)
    assert parity(Scale([2, 2, 2]), path, [ROWS]).largest > 0.1


def test_ones_own_comes_before_the_kits(tmp_path: Path) -> None:
    import torch

    mine = Converter("mine", from_package("torch"), write_scale, SCALE.answer)
    register(mine)
    assert converter_for(torch.nn.Identity()) is mine


def test_the_nearest_class_decides() -> None:
    import lightgbm
    import torch
    import xgboost
    from sklearn.linear_model import Ridge

    class Net(torch.nn.Module):
        pass

    models = [Net(), Ridge(), xgboost.XGBClassifier(), lightgbm.LGBMRegressor(), Path("folder"), "folder"]
    names = [found.name for found in map(converter_for, models) if found]
    assert names == ["torch", "scikit-learn", "XGBoost", "LightGBM", "TensorFlow", "TensorFlow"]


@pytest.mark.parametrize(
    ("package", "model"),
    [
        ("skl2onnx", "sklearn.linear_model.Ridge"),
        ("onnx", "xgboost.XGBRegressor"),
        ("onnxscript", "torch.nn.Identity"),
    ],
)
def test_what_is_missing_is_named_with_the_command(
    package: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = model.rsplit(".", 1)
    made = getattr(__import__(module, fromlist=[name]), name)()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"needs .*{package}, which this Python does not have") as refused:
        to_onnx(made, ROWS, tmp_path / "x.onnx")
    assert refused.value.remedy.startswith("pip install") and package in refused.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_names_are_given_in_order(tmp_path: Path) -> None:
    register(SCALE)
    path = to_onnx(Scale([1, 2, 3]), ROWS, tmp_path / "x.onnx", inputs=["table"], outputs=["larger"])
    session = onnxruntime.InferenceSession(path)
    assert [session.get_inputs()[0].name, session.get_outputs()[0].name] == ["table", "larger"]
    assert np.array_equal(session.run(None, {"table": ROWS})[0], ROWS * np.float32([1, 2, 3]))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"inputs": ["a", "b"]}, r"2 names for 1 inputs \(rows\)"),
        ({"outputs": ["a", "b"]}, r"2 names for 1 outputs \(scaled\)"),
        ({"outputs": ["rows"]}, "Two tensors would be called 'rows'"),
    ],
)
def test_names_that_do_not_fit(names: dict[str, Any], said: str, tmp_path: Path) -> None:
    register(SCALE)
    with pytest.raises(UserError, match=said):
        to_onnx(Scale([1, 2, 3]), ROWS, tmp_path / "x.onnx", **names)
    assert list(tmp_path.iterdir()) == [], "nothing half-made stays"


def test_an_inner_tensor_makes_way(tmp_path: Path) -> None:
    register(SCALE)
    path = to_onnx(Scale([1, 2, 3]), ROWS, tmp_path / "x.onnx", outputs=["by"])
    (answer,) = onnxruntime.InferenceSession(path).run(["by"], {"rows": ROWS})
    assert np.array_equal(answer, ROWS * np.float32([1, 2, 3]))


def test_names_inside_branches_follow(tmp_path: Path) -> None:
    def branch(operator: str) -> onnx.GraphProto:
        made = helper.make_tensor_value_info("made", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(operator, ["rows"], ["made"])], operator, [], [made])

    def write(model: object, example: object, path: Path) -> None:
        nodes = [
            helper.make_node("ReduceMax", ["rows"], ["largest"], keepdims=0),
            helper.make_node("Constant", [], ["limit"], value_float=0.5),
            helper.make_node("Greater", ["largest", "limit"], ["bright"]),
            helper.make_node("If", ["bright"], ["chosen"], then_branch=branch("Neg"), else_branch=branch("Abs")),
        ]
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3]) for name in ("rows", "chosen")]
        graph = helper.make_graph(nodes, "branches", values[:1], values[1:])
        onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)

    register(Converter("branch", lambda kind: kind is Scale, write, lambda model, arrays: (-arrays[0],)))
    path = to_onnx(Scale([1]), ROWS, tmp_path / "x.onnx", inputs=["table"])
    (answer,) = onnxruntime.InferenceSession(path).run(None, {"table": ROWS + 1})
    assert np.array_equal(answer, -(ROWS + 1))


@pytest.mark.parametrize("example", [np.float32(3), np.zeros((0, 3), np.float32), np.zeros((3, 0), np.float32)])
def test_an_example_is_a_batch(example: np.ndarray) -> None:
    with pytest.raises(UserError, match="The example has the shape"):
        read_example(example)


def test_one_row_is_enough_of_an_example() -> None:
    (rows,) = two_rows(read_example(ROWS[:1]))
    assert rows.shape == (2, 3)


def test_an_operator_that_nobody_has_is_refused(tmp_path: Path) -> None:
    def write(model: object, example: object, path: Path) -> None:
        write_scale(Scale([1, 2, 3]), (ROWS,), path)
        file = onnx.load(path)
        file.graph.node[0].op_type, file.graph.node[0].name = "Cholesky", "inner/Cholesky"
        onnx.save(file, path)

    register(Converter("strange", lambda kind: kind is Scale, write, lambda model, arrays: arrays))
    with pytest.raises(UserError, match=r"operator Cholesky \(in inner/Cholesky\) has no counterpart"):
        to_onnx(Scale([1]), ROWS, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_conversion_leaves_the_last_file(tmp_path: Path) -> None:
    register(SCALE)
    path = to_onnx(Scale([1, 2, 3]), ROWS, tmp_path / "x.onnx")
    before = path.read_bytes()
    with pytest.raises(UserError):
        to_onnx(object(), ROWS, path)
    with pytest.raises(UserError):
        to_onnx(Scale([1, 2, 3]), ROWS, path, outputs=["a", "b"])
    assert path.read_bytes() == before
