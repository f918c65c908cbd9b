"""Which inputs take missing values: found in files of many makers, and compared with what the models answer."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from helpers.convert import to_onnx
from helpers.places import ROOT
from helpers.runtime import Options, Session
from helpers.runtime.missing_values import handles_missing, inputs_with_missing

ROWS = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
CLASSES = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(np.int64)
HOLES = np.where(np.random.default_rng(1).random(ROWS.shape) < 0.2, np.float32(np.nan), ROWS)


def found_in(path: Path) -> frozenset[str]:
    return inputs_with_missing(path, Session(path, options=Options(threads=1)))


def sklearn_file(path: Path, model: Any, rows: np.ndarray) -> Path:
    from skl2onnx import to_onnx

    fitted = model.fit(rows, CLASSES)
    options = {"zipmap": False} if hasattr(fitted, "predict_proba") else {}
    path.write_bytes(to_onnx(fitted, ROWS[:1], options=options, target_opset=17).SerializeToString())
    return path


def models() -> dict[str, tuple[Any, bool]]:
    """scikit-learn's models, and whether they were made for missing values."""
    from sklearn import ensemble, impute, linear_model, neural_network, pipeline, preprocessing

    imputed = pipeline.make_pipeline(
        preprocessing.StandardScaler(), impute.SimpleImputer(), linear_model.LogisticRegression()
    )
    return {
        "histogram boosting": (ensemble.HistGradientBoostingClassifier(max_iter=5), True),
        "imputer": (imputed, True),
        "gradient boosting": (ensemble.GradientBoostingClassifier(n_estimators=3), False),
        "linear": (linear_model.LogisticRegression(), False),
        "network": (neural_network.MLPClassifier((4,), max_iter=5, tol=1e9), False),
        "scaler": (preprocessing.StandardScaler(), False),
    }


@pytest.mark.filterwarnings("ignore")  # of converters, about themselves
@pytest.mark.parametrize("name", list(models()))
def test_a_model_of_scikit_learn(tmp_path: Path, name: str) -> None:
    model, takes_missing = models()[name]
    path = sklearn_file(tmp_path / "model.onnx", model, HOLES if takes_missing else ROWS)
    assert found_in(path) == (frozenset({"X"}) if takes_missing else frozenset())
    if takes_missing:  # and the file answers as the model does
        session = Session(path)
        answered = session.run({"X": HOLES})
        assert np.allclose(answered["probabilities"], model.predict_proba(HOLES), atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("holes", "takes_missing"), [(True, True), (False, False)])
def test_a_model_of_xgboost(tmp_path: Path, holes: bool, takes_missing: bool) -> None:
    """Without missing values in training all of them would go one way, which means nothing."""
    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
    model = xgboost.XGBClassifier(n_estimators=3).fit(HOLES if holes else ROWS, CLASSES)
    to_onnx(model, ROWS.astype(np.float32), tmp_path / "model.onnx", inputs=["x"])
    assert found_in(tmp_path / "model.onnx") == (frozenset({"x"}) if takes_missing else frozenset())


def floats(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def saved(path: Path, nodes: list, inputs: list, outputs: list, functions: list | None = None) -> Path:
    nothing = helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0])
    graph = helper.make_graph(nodes, "made", inputs, outputs, [nothing])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, ir_version=10, opset_imports=opsets, functions=functions or [])
    onnx.save(model, path)
    return path


def without_nan(source: str, target: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("IsNaN", [source], [f"{source}_absent"]),
        helper.make_node("Where", [f"{source}_absent", "nothing", source], [target]),
    ]


def test_only_the_input_that_is_looked_at(tmp_path: Path) -> None:
    nodes = [*without_nan("age", "known"), helper.make_node("Add", ["known", "height"], ["sum"])]
    inputs = [floats("age", "batch"), floats("height", "batch")]
    assert found_in(saved(tmp_path / "m.onnx", nodes, inputs, [floats("sum", "batch")])) == {"age"}


def test_in_a_branch_and_in_a_function(tmp_path: Path) -> None:
    looked = helper.make_graph(without_nan("x", "then"), "then", [], [floats("then", "batch")])
    other = helper.make_graph(
        [helper.make_node("Identity", ["nothing_row"], ["else"])], "else", [], [floats("else", 1)]
    )
    branch = helper.make_node("If", ["yes"], ["y"], then_branch=looked, else_branch=other)
    constant = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True]))
    row = helper.make_node("Constant", [], ["nothing_row"], value_floats=[0.0])
    path = saved(tmp_path / "branch.onnx", [constant, row, branch], [floats("x", "batch")], [floats("y", None)])
    assert found_in(path) == {"x"}

    zero = helper.make_node("Constant", [], ["nothing"], value_float=0.0)
    own = helper.make_function(
        "own", "Fill", ["x"], ["y"], [zero, *without_nan("x", "y")], [helper.make_opsetid("", 20)]
    )
    nodes = [helper.make_node("Fill", ["x"], ["y"], domain="own")]
    path = saved(tmp_path / "function.onnx", nodes, [floats("x", "batch")], [floats("y", "batch")], [own])
    assert found_in(path) == {"x"}


def test_a_list_written_in_one_piece_is_read_too(tmp_path: Path) -> None:
    """As other writers of protobuf do: the attribute's integers in one field."""
    name = b"nodes_missing_value_tracks_true"
    for ones, found in ((b"\x00\x01\x00", True), (b"\x00\x00\x00", False)):
        attribute = b"\x0a" + bytes([len(name)]) + name + b"\x42" + bytes([len(ones)]) + ones
        node = b"\x22\x12TreeEnsembleRegres" + b"\x2a" + bytes([len(attribute)]) + attribute
        graph = b"\x0a" + bytes([len(node)]) + node
        path = tmp_path / "packed.onnx"
        path.write_bytes(b"\x08\x08\x3a" + bytes([len(graph)]) + graph)
        parsed = onnx.load(path)
        assert list(parsed.graph.node[0].attribute[0].ints) == list(ones)
        assert handles_missing(path) is found


def test_what_takes_finite_numbers_only_takes_none_missing(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", without_nan("x", "y"), [floats("x", "batch")], [floats("y", "batch")])
    assert found_in(path) == {"x"}
    assert inputs_with_missing(path, Session(path, options=Options(finite_only=True))) == frozenset()


@pytest.mark.parametrize("content", [b"ORTM" * 10, b"\xff" * 50, b"\x0b"])
def test_a_file_in_another_form_handles_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    assert not handles_missing(tmp_path / "m.onnx")


def test_it_needs_no_framework(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", without_nan("x", "y"), [floats("x", "batch")], [floats("y", "batch")])
    program = "import sys; from pathlib import Path; from helpers.runtime.missing_values import handles_missing as h"
    program += f"; print(h(Path({str(path)!r})), 'onnx' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "False"]
