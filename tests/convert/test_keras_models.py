"""Keras and TensorFlow to ONNX: models, SavedModels, and refusals that name the operator."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import zoo
from helpers.convert import inputs_like, parity, read_graph, to_onnx
from helpers.errors import UserError

ROWS = zoo.flat_digits().train_images


@pytest.fixture(scope="module")
def classifier() -> Any:
    return zoo.digits_keras()


def test_the_zoos_model(classifier: Any, tmp_path: Path) -> None:
    path = to_onnx(classifier, ROWS, tmp_path / "digits.onnx")
    graph = read_graph(path)
    assert [str(value) for value in graph.inputs] == ["pixels: float32 (batch, 64)"]
    assert [str(value) for value in graph.outputs] == ["probabilities: float32 (batch, 10)"]
    found = parity(classifier, path, inputs_like(ROWS))
    assert found.largest <= 1e-4 and found.flipped == 0


def test_a_saved_model(classifier: Any, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    classifier.export(str(folder), format="tf_saved_model", verbose=False)
    for name, model in {"folder": folder, "text": str(folder), "loaded": tf.saved_model.load(str(folder))}.items():
        path = to_onnx(model, ROWS, tmp_path / f"{name}.onnx", outputs=["probabilities"])
        found = parity(model, path, inputs_like(ROWS))
        assert found.largest <= 1e-4 and found.flipped == 0
        assert str(read_graph(path).inputs[0]) == "pixels: float32 (batch, 64)"


class TwoHeads(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = keras.layers.Dense(5), keras.layers.Dense(2)

    def call(self, rows: Any) -> Any:
        return self.wide(rows), self.narrow(rows)


def test_a_model_of_ones_own_class_that_was_never_called(tmp_path: Path) -> None:
    model = TwoHeads()
    path = to_onnx(model, ROWS, tmp_path / "x.onnx", outputs=["wide", "narrow"])
    assert parity(model, path, [ROWS[:50]]).largest <= 1e-4


def test_two_inputs(tmp_path: Path) -> None:
    inputs = [keras.Input((3,), name="left"), keras.Input((4,), name="right")]
    model = keras.Model(inputs, keras.layers.Dense(2, name="sum")(keras.layers.concatenate(inputs)))
    example = ROWS[:20, 20:23], ROWS[:20, 30:34]
    path = to_onnx(model, example, tmp_path / "x.onnx")
    assert [value.name for value in read_graph(path).inputs] == ["left", "right"]
    assert parity(model, path, inputs_like(example, rows=100)).largest <= 1e-5


def decomposed(rows: Any) -> Any:
    return tf.linalg.cholesky(tf.reshape(rows, (-1, 8, 8)))[:, 0]


class RunsPython(keras.layers.Layer):
    def call(self, rows: Any) -> Any:
        doubled = tf.py_function(lambda values: values * 2, [rows], tf.float32)
        doubled.set_shape(rows.shape)
        return doubled


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (lambda: keras.layers.Lambda(decomposed, name="factors"), r"operator Cholesky \(in .*factors.*\) has no"),
        (lambda: RunsPython(name="doubles"), r"operator EagerPyFunc \(in .*doubles.*\) has no counterpart"),
    ],
    ids=["operator", "python"],
)
def test_what_has_no_counterpart_is_named(
    layer: Any, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = keras.Sequential([keras.Input((64,)), layer(), keras.layers.Dense(2)])
    identity = np.tile(np.eye(8, dtype=np.float32).reshape(1, 64), (2, 1))
    with pytest.raises(UserError, match=said):
        to_onnx(model, identity, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_a_saved_model_without_a_signature(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "bare"))
    with pytest.raises(UserError, match="no signature 'serving_default'; it has: none"):
        to_onnx(tmp_path / "bare", ROWS, tmp_path / "x.onnx")
    with pytest.raises(UserError, match=r"There is no folder .*nowhere"):
        to_onnx(tmp_path / "nowhere", ROWS, tmp_path / "x.onnx")


def test_the_wrong_number_of_inputs(classifier: Any, tmp_path: Path) -> None:
    classifier.export(str(tmp_path / "saved"), format="tf_saved_model", verbose=False)
    with pytest.raises(UserError, match="The example has 2 inputs; the model takes: pixels"):
        to_onnx(tmp_path / "saved", (ROWS, ROWS), tmp_path / "x.onnx")
    with pytest.raises(UserError, match=r"itself does not answer the example \(float32 \(2, 9\)\)"):
        to_onnx(classifier, ROWS[:, :9], tmp_path / "x.onnx")
