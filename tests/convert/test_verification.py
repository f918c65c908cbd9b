"""A converter with a fault of one kind is refused by the probe that shows it; the same without the fault is not."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from numpy.typing import NDArray

from helpers.convert import ConversionError, Converter, conversion, parity, register, to_onnx

NUMBERS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
POSITIVE = np.abs(NUMBERS) + 3  # so far from zero that noise seldom turns a sign
IDS = np.array([[3, 5, 7, 9], [1, 2, 6, 4]])
WORDS = np.array([["red", "blue"], ["green", "red"]], dtype=object)
TRUTHS = np.array([[True, False, True, False], [False, True, True, False]])
FLOATS = "(float[N, 4] x) => (float[N, 4] y)"


class Model:
    """A model of a framework of one's own."""


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_registered", [])


def graph(signature: str, body: str) -> onnx.ModelProto:
    """A file in ONNX's own notation."""
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]> file {signature} {{ {body} }}')


def convert(answer: Callable[..., Any], file: onnx.ModelProto, example: Any, path: Path, **options: Any) -> Path:
    """Convert a model that answers so with a converter that writes this file."""

    def write(model: Model, two: Any, made: Path, lengths: Any = None) -> None:
        onnx.save(file, made)

    def answers(model: Model, arrays: Any) -> tuple[NDArray[Any], ...]:
        given = answer(*arrays)
        return given if isinstance(given, tuple) else (given,)

    register(Converter("own", lambda kind: kind is Model, write, answers, takes=("dynamic_axes",)))
    return to_onnx(Model(), example, path, **options)


def only_if(condition: str) -> str:
    """The body of an identity that doubles its rows where a number of rows makes ``condition`` true."""
    return f"""n = Shape<end=1>(x) one = Constant<value=float {{1}}>() two = Constant<value=float {{2}}>()
    limit = Constant<value=int64[1] {{{condition.split()[1]}}}>() is = {condition.split()[0]}(n, limit)
    factor = Where(is, two, one) y = Mul(x, factor)"""


def above(operator: str, limit: float) -> str:
    return f"limit = Constant<value=float {{{limit}}}>() is = {operator}(x, limit) y = Cast<to=1>(is)"


def same(x: NDArray[Any]) -> NDArray[Any]:
    return x


def without_missing(x: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.isnan(x), np.float32(0), x)


def is_red(x: NDArray[Any]) -> NDArray[Any]:
    return (np.char.lower(x.astype(str)) == "red").astype(np.float32)


def labelled(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    share = 1 / (1 + np.exp(-x[:, :1]))
    return (x[:, 0] > 0).astype(np.int64), np.concatenate([1 - share, share], axis=1)


IDENTITY = "y = Identity(x)"
FILLED = "gone = IsNaN(x) zero = Constant<value=float {0}>() y = Where(gone, zero, x)"
THREE = "three = Constant<value=int64 {3}>()"
FLOOR = f"{THREE} zero = Constant<value=int64 {{0}}>() rest = Mod(x, three) even = Sub(x, rest) y = Div(even, three)"
FIRST = """first = Constant<value=int64[1] {0}>() column = Constant<value=int64[1] {0}>() x0 = Gather<axis=1>(x, column)
share = Sigmoid(x0) one = Constant<value=float {1}>() other = Sub(one, share) p = Concat<axis=1>(other, share)
zero = Constant<value=float {0}>() flat = Constant<value=int64[1] {-1}>() is = """
TO_LABEL = "row = Reshape(is, flat) label = Cast<to=7>(row)"
LABELS = "(float[N, 4] x) => (int64[N] label, float[N, 2] p)"
INTEGERS = "(int64[N, 4] x) => (int64[N, 4] y)"
BOTH = """c2 = Constant<value=int64[1] {2}>() c3 = Constant<value=int64[1] {3}>() x2 = Gather<axis=1>(x, c2)
x3 = Gather<axis=1>(x, c3) both = And(x2, x3) left = Not(both) f = Cast<to=1>(left) z = Cast<to=1>(x) y = Mul(z, f)"""


@dataclass(frozen=True)
class Fault:
    name: str
    answer: Callable[..., Any]
    example: Any
    signature: str
    right: str
    wrong: str
    said: str  # the probe in the sentence of the refusal
    axes: Any = None

    def __str__(self) -> str:
        return self.name.replace(" ", "_")


CLIPPED = "low = Constant<value=float {-8}>() high = Constant<value=float {8}>() y = Clip(x, low, high)"
FAULTS = [
    Fault("every row", same, NUMBERS, FLOATS, IDENTITY, "y = Neg(x)", r"\(two rows of the example\)"),
    Fault("missing numbers", without_missing, NUMBERS, FLOATS, FILLED, IDENTITY, "rows with missing numbers"),
    Fault("negative numbers", same, POSITIVE, FLOATS, IDENTITY, "y = Abs(x)", "rows with noise|signs turned around"),
    Fault("large numbers", same, NUMBERS, FLOATS, IDENTITY, CLIPPED, "ten times the numbers"),
    Fault(
        "at a half",
        lambda x: (x > 0.5).astype(np.float32),
        NUMBERS,
        FLOATS,
        above("Greater", 0.5),
        above("GreaterOrEqual", 0.5),
        "rows of one number each",
    ),
    Fault(
        "at a threshold",
        lambda x: (x > np.float32(0.3)).astype(np.float32),
        NUMBERS,
        FLOATS,
        above("Greater", 0.3),
        above("GreaterOrEqual", 0.3),
        "rows of one of the file's numbers each",
    ),
    Fault("a batch of 1", same, NUMBERS, FLOATS, IDENTITY, only_if("Less 2"), r"\(a batch of 1\)"),
    Fault("a batch of 3", same, NUMBERS, FLOATS, IDENTITY, only_if("Equal 3"), r"\(a batch of 3\)"),
    Fault("more than 8 rows", same, NUMBERS, FLOATS, IDENTITY, only_if("Greater 8"), r"\(a batch of 33\)"),
    Fault(
        "the mean of the example",
        lambda x: x - x.mean(axis=0),
        NUMBERS[:2],
        FLOATS,
        "a = Constant<value=int64[1] {0}>() m = ReduceMean(x, a) y = Sub(x, m)",
        f"m = Constant<value=float[4] {{{', '.join(map(str, NUMBERS[:2].mean(axis=0)))}}}>() y = Sub(x, m)",
        r"\(a batch of 1\)",
    ),
    Fault(
        "negative whole numbers", lambda x: x // 3, IDS, INTEGERS, FLOOR, f"{THREE} y = Div(x, three)", "negative whole"
    ),
    Fault(
        "whole numbers in float32",
        same,
        IDS,
        INTEGERS,
        IDENTITY,
        "f = Cast<to=1>(x) y = Cast<to=7>(f)",
        r"whole numbers above 2\^24",
    ),
    Fault(
        "capitals",
        is_red,
        WORDS,
        "(string[N, 2] x) => (float[N, 2] y)",
        'a = Constant<value=string[1] {"red"}>() b = Constant<value=string[1] {"RED"}>() '
        "c = Equal(x, a) d = Equal(x, b) is = Or(c, d) y = Cast<to=1>(is)",
        'a = Constant<value=string[1] {"red"}>() is = Equal(x, a) y = Cast<to=1>(is)',
        "text in capitals",
    ),
    Fault(
        "a mask at the end",
        lambda x: x.astype(np.float32),
        TRUTHS,
        "(bool[N, 4] x) => (float[N, 4] y)",
        "y = Cast<to=1>(x)",
        BOTH,
        "rows with a mask at the end",
    ),
    Fault(
        "labels turned around",
        labelled,
        NUMBERS,
        LABELS,
        f"{FIRST} Greater(x0, zero) {TO_LABEL}",
        f"{FIRST} Less(x0, zero) {TO_LABEL}",
        "differ in 'label'",
    ),
    Fault(
        "another length",
        same,
        NUMBERS,
        "(float[N, L] x) => (float[N, L] y)",
        IDENTITY,
        "l = Shape<start=1>(x) four = Constant<value=int64[1] {4}>() is = Equal(l, four) no = Not(is) "
        "f = Cast<to=1>(no) z = Mul(x, f) y = Add(x, z)",
        "another size of length",
        [{1: "length"}],
    ),
    Fault(
        "two rows fixed",
        same,
        NUMBERS,
        FLOATS,
        IDENTITY,
        "s = Constant<value=int64[2] {2, 4}>() z = Reshape(x, s) y = Identity(z)",
        "its file does not",
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_is_refused_by_the_probe_that_shows_it(fault: Fault, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    wrong = graph(fault.signature, fault.wrong)
    with pytest.raises(ConversionError) as refused:
        convert(fault.answer, wrong, fault.example, path, dynamic_axes=fault.axes)
    assert re.search(fault.said, refused.value.sentence), refused.value
    assert refused.value.remedy and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_same_without_the_fault_is_converted(fault: Fault, tmp_path: Path) -> None:
    right = graph(fault.signature, fault.right)
    path = convert(fault.answer, right, fault.example, tmp_path / "model.onnx", dynamic_axes=fault.axes)
    (first, *_) = onnxruntime.InferenceSession(path).run(None, {"x": fault.example})
    given = fault.answer(fault.example)
    np.testing.assert_allclose(first, given[0] if isinstance(given, tuple) else given, rtol=1e-5)


@pytest.mark.parametrize(
    ("answer", "signature", "body", "said"),
    [
        (
            same,
            "(float[N, 4] x, float[N, 4] z) => (float[N, 4] y)",
            "y = Add(x, z)",
            "takes 2 inputs .x, z., the example has 1",
        ),
        (
            same,
            "() => (float[2, 4] y)",
            "s = Constant<value=int64[2] {2, 4}>() y = ConstantOfShape(s)",
            "takes 0 inputs",
        ),
        (lambda x: (x, x), FLOATS, IDENTITY, "answers with 2 outputs, the file with 1 .y."),
        (
            lambda x: x.astype(str).astype(object),
            FLOATS,
            IDENTITY,
            "'y' of the file is float32, the model answers with object",
        ),
        (lambda x: x[:, :2], FLOATS, IDENTITY, "shape"),
    ],
    ids=["an input too many", "a constant for the input", "an output too few", "another type", "another shape"],
)
def test_what_the_file_declares_is_what_the_model_answers(
    answer: Any, signature: str, body: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=said):
        convert(answer, graph(signature, body), NUMBERS, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_can_be_corrected_is_corrected(tmp_path: Path) -> None:
    """An output too many is dropped, whole numbers are cast, and a wrong shape is declared anew."""
    signature = "(float[N, 4] x) => (float[2, 1] y, float[N, 4] more)"
    file = graph(signature, "y = Round(x) more = Neg(x)")
    path = convert(lambda x: x.round().astype(np.int64), file, NUMBERS, tmp_path / "model.onnx")
    (output,) = onnxruntime.InferenceSession(path).get_outputs()
    assert (output.name, output.type, output.shape) == ("y", "tensor(int64)", ["batch", 4])


def test_a_label_may_differ_where_its_scores_are_tied(tmp_path: Path) -> None:
    """At 0 both classes have the same score: the model takes the first one, and the file the second."""
    file = graph(LABELS, f"{FIRST} GreaterOrEqual(x0, zero) {TO_LABEL}")
    assert convert(labelled, file, NUMBERS, tmp_path / "model.onnx").exists()


def test_without_verification_a_fault_is_written(tmp_path: Path) -> None:
    path = convert(same, graph(FLOATS, "y = Neg(x)"), NUMBERS, tmp_path / "model.onnx", verify=False)
    (answer,) = onnxruntime.InferenceSession(path).run(None, {"x": NUMBERS})
    assert np.array_equal(answer, -NUMBERS)


@pytest.mark.parametrize("verify", [True, False])
def test_a_model_of_torch_is_left_as_it_was(verify: bool, tmp_path: Path) -> None:
    import torch

    class Remembers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.drop, self.calls = torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5), 0
            self.register_buffer("total", torch.zeros(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.total += x.sum(0)
            return self.drop(self.norm(x)) + self.total

    model = Remembers().train()
    model.drop.eval()
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    if verify:
        with pytest.raises(ConversionError, match="keeps state between calls"):
            to_onnx(model, NUMBERS, tmp_path / "model.onnx")
    else:
        to_onnx(model, NUMBERS, tmp_path / "model.onnx", verify=False)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())
    assert (model.calls, model.training, model.drop.training) == (0, True, False)
    assert states[:2] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(states[2], torch.get_rng_state())


def test_a_model_of_keras_is_left_as_it_was(tmp_path: Path) -> None:
    import keras

    recurrent = keras.layers.LSTM(3, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 5, 4)), recurrent, keras.layers.Dropout(0.5)])
    kept = [np.array(variable) for variable in model.variables]
    with pytest.raises(ConversionError, match="keeps state between calls"):
        to_onnx(model, np.ones((2, 5, 4), np.float32), tmp_path / "model.onnx")
    assert all(np.array_equal(variable, value) for variable, value in zip(model.variables, kept, strict=True))


def test_parity_takes_an_array_a_frame_or_a_dictionary(tmp_path: Path) -> None:
    import torch
    from sklearn.linear_model import LinearRegression

    frame = pd.DataFrame(NUMBERS, columns=list("abcd"))
    for name, batches in {"array": NUMBERS, "frame": frame, "list": [NUMBERS[:2], NUMBERS[2:]]}.items():
        rows = frame if name == "frame" else NUMBERS
        model = LinearRegression().fit(rows, NUMBERS[:, 0] * 2)
        found = parity(model, to_onnx(model, rows, tmp_path / f"{name}.onnx"), batches)
        assert found.rows == 6 and found.largest < 1e-4

    class Difference(torch.nn.Module):
        def forward(self, right: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
            return right - 2 * left

    by_name = {"left": NUMBERS, "right": NUMBERS + 1}
    found = parity(Difference(), to_onnx(Difference(), by_name, tmp_path / "named.onnx"), by_name)
    assert found.rows == 6 and found.largest < 1e-5
