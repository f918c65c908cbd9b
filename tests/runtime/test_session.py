"""Sessions: the answers of ONNX Runtime itself, and a sentence for everything else."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from helpers import zoo
from helpers.errors import UserError
from helpers.places import ROOT
from helpers.runtime import InputError, Options, Session, TensorSpec, available
from helpers.runtime import providers as provider_names
from tests.runtime import models

FLOATS = np.arange(12, dtype=np.float32).reshape(3, 4) - 6


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digits") / "digits.onnx"
    options = {"input_names": ["images"], "dynamic_shapes": ({0: "batch"},), "verbose": False}
    torch.onnx.export(zoo.digits_cnn(), (torch.zeros(2, 1, 8, 8),), path, **options)
    return path


def test_it_answers_as_onnx_runtime_and_torch_do(digits_file: Path) -> None:
    images = zoo.digits().test_images
    oracle = onnxruntime.InferenceSession(str(digits_file), providers=["CPUExecutionProvider"])
    session = Session(digits_file)
    assert np.allclose(session(images), oracle.run(None, {"images": images})[0], atol=1e-5)
    with torch.no_grad():
        assert np.allclose(session(images), zoo.digits_cnn()(torch.from_numpy(images)), atol=1e-4)


def test_one_output_is_an_array_and_several_are_a_tuple(tmp_path: Path) -> None:
    assert np.array_equal(Session(models.relu(tmp_path / "relu.onnx"))(FLOATS), np.maximum(FLOATS, 0))
    left, right = np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)
    session = Session(models.addition(tmp_path / "add.onnx"))
    total, same = session(left, right)
    assert np.array_equal(total, left + right) and np.array_equal(same, left)
    assert np.array_equal(session.run({"right": right, "left": left})["sum"], left + right)


def test_it_says_what_it_takes_and_gives(tmp_path: Path) -> None:
    session = Session(models.addition(tmp_path / "add.onnx", TensorProto.INT64))
    assert session.inputs[0] == TensorSpec("left", np.dtype(np.int64), ("batch", 3))
    assert [spec.name for spec in session.outputs] == ["sum", "same"]
    assert str(session.inputs[1]) == "int64 of shape (batch, 3)"


def test_a_model_may_come_as_bytes(tmp_path: Path) -> None:
    content = models.relu(tmp_path / "relu.onnx").read_bytes()
    assert np.array_equal(Session(content)(FLOATS), np.maximum(FLOATS, 0))


def test_strings_and_numbers_without_an_axis(tmp_path: Path) -> None:
    strings = ("words", TensorProto.STRING, ["batch"])
    node = helper.make_node("Identity", ["words"], ["same"])
    session = Session(models.save(tmp_path / "s.onnx", [node], [strings], [("same", TensorProto.STRING, ["batch"])]))
    for words in (np.array(["a", "bc"]), np.array(["a", "bc"], object)):
        assert session(words).tolist() == ["a", "bc"]
    with pytest.raises(InputError, match="takes strings"):
        session(np.zeros(2, np.float32))
    session.warm_up([2])

    number = ("x", TensorProto.FLOAT, [])
    node = helper.make_node("Identity", ["x"], ["y"])
    session = Session(models.save(tmp_path / "n.onnx", [node], [number], [("y", TensorProto.FLOAT, [])]))
    assert session(np.array(3, np.float32)) == 3
    session.warm_up()


def test_many_threads_may_call_it(digits_file: Path) -> None:
    session, images = Session(digits_file, options=Options(threads=1)), zoo.digits().test_images
    wanted = session(images)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: session(images[row : row + 1])[0], range(len(images))))
    assert np.allclose(answers, wanted, atol=1e-5)


def test_binding_gives_the_same_and_follows_its_memory(digits_file: Path) -> None:
    session, images = Session(digits_file), zoo.digits().test_images[:4].copy()
    bound = session.bind(images)
    assert np.allclose(bound(), session(images), atol=1e-6)
    images[:] = zoo.digits().test_images[4:8]
    assert np.allclose(bound(), session(images), atol=1e-6), "what is written into the memory is what is read"


def test_memory_with_gaps_cannot_be_bound(tmp_path: Path) -> None:
    session = Session(models.relu(tmp_path / "relu.onnx"))
    gaps = np.zeros((3, 8), np.float32)[:, ::2]
    assert session(gaps).shape == (3, 4), "it can be answered"
    with pytest.raises(InputError, match="'x' is a view with gaps"):
        session.bind(gaps)


# Wrong inputs


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (FLOATS.astype(np.float64), "is float64 of shape (3, 4); the model takes float32 of shape (batch, 4)"),
        (FLOATS[0], "is float32 of shape (4,)"),
        (FLOATS[None], "is float32 of shape (1, 3, 4)"),
        (FLOATS[:, :3], "is float32 of shape (3, 3)"),
        (FLOATS[:0], "is empty, of shape (0, 4)"),
        ([[1, 2, 3, 4]], "is a list and no numpy array"),
        (None, "is missing"),
        (torch.zeros(1, 4), "is torch.float32 of shape"),
        (np.array([["a"] * 4]), "is <U1 of shape (1, 4)"),
    ],
    ids=["type", "rank too low", "rank too high", "size", "empty", "list", "none", "tensor", "strings"],
)
def test_a_wrong_input_is_refused_with_what_was_expected(value: object, message: str, tmp_path: Path) -> None:
    session = Session(models.relu(tmp_path / "relu.onnx"))
    with pytest.raises(InputError) as refused:
        session(value)
    assert message in str(refused.value)
    assert refused.value.name == "x"


def test_missing_unknown_and_too_many_inputs(tmp_path: Path) -> None:
    session = Session(models.addition(tmp_path / "add.onnx"))
    ones = np.ones((2, 3), np.float32)
    with pytest.raises(InputError, match=r"1 inputs were given; the model takes 2 \(left, right\)"):
        session(ones)
    with pytest.raises(InputError, match="'right' is missing"):
        session.run({"left": ones})
    with pytest.raises(InputError, match="'up' is not among them; the model takes the inputs left, right"):
        session.run({"left": ones, "up": ones})
    with pytest.raises(InputError, match=r"'right' is 1 long there; .*'left', which has 2"):
        session(ones, ones[:1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_missing_numbers_are_refused_where_that_was_asked_for(bad: float, tmp_path: Path) -> None:
    values = FLOATS.copy()
    values[1, 2] = bad
    path = models.relu(tmp_path / "relu.onnx")
    Session(path)(values)
    with pytest.raises(InputError, match="NaN or infinite in row 1"):
        Session(path, options=Options(finite_only=True))(values)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.integers(1, 3), st.sampled_from(["batch", "?"])), max_size=3),
    st.lists(st.integers(0, 3), max_size=4),
    st.sampled_from(["float32", "float64", "int64"]),
)
def test_the_check_accepts_exactly_what_fits(axes: list[int | str], shape: list[int], dtype: str) -> None:
    spec = TensorSpec("x", np.dtype(np.float32), tuple(axes))
    fits = dtype == "float32" and len(axes) == len(shape) and 0 not in shape
    fits = fits and all(isinstance(axis, str) or axis == size for axis, size in zip(axes, shape, strict=False))
    try:
        spec.check(np.zeros(shape, dtype))
    except InputError:
        assert not fits
    else:
        assert fits


def test_what_numpy_has_no_type_for_is_left_to_onnx_runtime(tmp_path: Path) -> None:
    shape = ["batch", 4]
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    inputs, outputs = [("x", TensorProto.BFLOAT16, shape)], [("y", TensorProto.FLOAT, shape)]
    session = Session(models.save(tmp_path / "b.onnx", [node], inputs, outputs), options=Options(finite_only=True))
    assert session.inputs[0].dtype is None
    with pytest.raises(Exception, match="bfloat16") as refused:  # numpy takes None for float64: the check must not
        session(FLOATS.astype(np.float64))
    assert not isinstance(refused.value, InputError)


# Models that do not load


def test_files_that_are_no_model(tmp_path: Path) -> None:
    whole = models.addition(tmp_path / "whole.onnx").read_bytes()
    for name, content in {"empty": b"", "text": b"not a model", "zeros": b"\0" * 99, "cut": whole[:-9]}.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        for source in (path, content):
            with pytest.raises(UserError, match="is not an ONNX model, or it was cut short"):
                Session(source)
    with pytest.raises(UserError, match=r"There is no file .*none\.onnx"):
        Session(tmp_path / "none.onnx")


def test_weights_that_are_missing_or_cut(digits_file: Path, tmp_path: Path) -> None:
    (tmp_path / "digits.onnx").write_bytes(digits_file.read_bytes())
    with pytest.raises(UserError, match=r"in digits\.onnx\.data, which is missing"):
        Session(tmp_path / "digits.onnx")
    (tmp_path / "digits.onnx.data").write_bytes(b"too short")
    with pytest.raises(UserError, match="missing or damaged"):
        Session(tmp_path / "digits.onnx")


def test_a_model_of_the_future(tmp_path: Path) -> None:
    model = onnx.load(models.relu(tmp_path / "relu.onnx"))
    model.opset_import[0].version = 9999
    onnx.save(model, tmp_path / "future.onnx")
    with pytest.raises(UserError, match="newer than this ONNX Runtime"):
        Session(tmp_path / "future.onnx")


# Providers


def test_providers_by_short_and_long_name(tmp_path: Path) -> None:
    path = models.relu(tmp_path / "relu.onnx")
    assert "cpu" in available()
    assert Session(path, ["cpu"]).providers == Session(path, ["CPUExecutionProvider"]).providers == ["cpu"]


@pytest.mark.parametrize(
    ("wanted", "message", "remedy"),
    [
        (["moon"], "There is no provider 'moon'", "choose from: "),
        ([], "No provider was named", "choose from: "),
        (["tensorrt", "cpu"], "has no tensorrt provider; it has: ", "onnxruntime-gpu tensorrt"),
        (["OpenVINOExecutionProvider"], "has no openvino provider", "onnxruntime-openvino"),
    ],
)
def test_what_is_not_there_is_refused(wanted: list[str], message: str, remedy: str, tmp_path: Path) -> None:
    if "tensorrt" in available() or "openvino" in available():
        pytest.skip("this ONNX Runtime has what the test takes to be absent")
    with pytest.raises(UserError) as refused:
        Session(models.relu(tmp_path / "relu.onnx"), wanted)
    assert message in str(refused.value) and remedy in refused.value.remedy


def test_a_provider_that_is_present_and_cannot_start_is_not_replaced() -> None:
    """No such provider can be had on every machine: its absence afterwards is played."""
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    provider_names.expect_honoured(wanted, wanted)
    with pytest.raises(UserError, match=r"The cuda provider is installed and could not be started.*run on: cpu"):
        provider_names.expect_honoured(wanted, ["CPUExecutionProvider"])


# Options


@pytest.mark.parametrize(
    "options", [Options(level="most"), Options(threads=0), Options(threads=-1), Options(parallel_operators=0)]
)
def test_options_that_make_no_sense(options: Options, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        Session(models.relu(tmp_path / "relu.onnx"), options=options)
    assert refused.value.exit_code == 2


def test_options_reach_onnx_runtime(tmp_path: Path) -> None:
    chosen = Options(threads=1, parallel_operators=2, spinning=False, arena=False, level="basic").for_runtime()
    assert (chosen.intra_op_num_threads, chosen.inter_op_num_threads) == (1, 2)
    assert chosen.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert chosen.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert not chosen.enable_cpu_mem_arena
    assert chosen.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    session = Session(models.relu(tmp_path / "relu.onnx"), options=Options(parallel_operators=2, spinning=True))
    assert np.array_equal(session(FLOATS), np.maximum(FLOATS, 0))


def test_no_framework_is_loaded() -> None:
    program = "import json, sys, helpers.runtime; print(json.dumps([name.split('.')[0] for name in sys.modules]))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"torch", "tensorflow", "sklearn", "pandas", "onnx", "matplotlib"} & set(json.loads(ran.stdout))
