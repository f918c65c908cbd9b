"""SavedModels: in a folder and loaded, inputs by name, and files that are none."""

import atexit
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tests.convert.cases import Answers, Case
from tests.convert.cases.tables import draw

CASES: list[Case] = []
HOME = tempfile.TemporaryDirectory(prefix="servelab-saved-")
atexit.register(HOME.cleanup)


def rows(count: int, *shape: int) -> Any:
    return draw(count).normal(size=(count, *(shape or (4,)))).astype(np.float32)


def folder() -> Path:
    return Path(tempfile.mkdtemp(dir=HOME.name)) / "model"


def saved(function: Callable[..., Any], *inputs: str, shape: Any = (None, 4), dtype: Any = tf.float32) -> Path:
    """The folder of a model with the signature that servers use."""
    module, path = tf.Module(), folder()
    module.scale = tf.Variable(3.0)
    module.noise = tf.random.Generator.from_seed(1)
    specs = [tf.TensorSpec(shape, dtype, name=name) for name in inputs or ("x",)]
    module.call = tf.function(lambda *tensors: function(module, *tensors), input_signature=specs)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.call.get_concrete_function()})
    return path


def by_signature(model: Any, inputs: Any) -> Answers:
    """TensorFlow's own answer, by the names of the signature, which sorts them."""
    loaded = tf.saved_model.load(str(model)) if isinstance(model, (Path, str)) else model
    named = inputs if isinstance(inputs, Mapping) else {"x": inputs}
    given = loaded.signatures["serving_default"](**{name: tf.constant(array) for name, array in named.items()})
    return {name: np.asarray(given[name]) for name in sorted(given)}


def add(name: str, make: Callable[[], Any], batches: list[Any], **options: Any) -> None:
    CASES.append(Case(f"SavedModel {name}", make, batches[1], by_signature, lambda _: batches, ("x",), options))


def refuse(name: str, make: Callable[[], Any], sentence: str, remedy: str, example: Any = None) -> None:
    example = rows(3) if example is None else example
    CASES.append(Case(f"SavedModel {name}", make, example, refused=(sentence, remedy)))


BATCHES = [rows(1), rows(3), rows(7), -np.abs(rows(7))]
PAIRS = [{"zeta": rows(size), "alpha": rows(size + 10)[:size]} for size in (1, 3, 7)]


def difference(module: Any, zeta: Any, alpha: Any) -> Any:
    return {"y": zeta - 2 * alpha}


add("with a variable", lambda: saved(lambda m, x: {"y": x * m.scale}), BATCHES)
add("by the text of its path", lambda: str(saved(lambda m, x: {"y": tf.nn.gelu(x)})), BATCHES)
add("loaded", lambda: tf.saved_model.load(str(saved(lambda m, x: {"y": x - 1}))), BATCHES)
add("with two inputs", lambda: saved(difference, "zeta", "alpha"), PAIRS)
add("with two outputs", lambda: saved(lambda m, x: {"zeta": x * 2, "alpha": tf.reduce_sum(x, 1)}), BATCHES)
longer = [rows(1, 6, 4), rows(3, 6, 4), rows(2, 9, 4), rows(2, 3, 4)]
mean = lambda: saved(lambda m, x: {"y": tf.reduce_mean(x, 1)}, shape=(None, None, 4))  # noqa: E731
add("of any length", mean, longer, dynamic_axes=[{1: "length"}])
truths = [rows(size) > 0 for size in (1, 3, 7)]
negated = lambda: saved(lambda m, x: {"y": tf.cast(tf.logical_not(x), tf.float32)}, dtype=tf.bool)  # noqa: E731
add("of truths", negated, truths)

pair = tuple(PAIRS[1].values())
refuse(
    "with inputs in a tuple",
    lambda: saved(difference, "zeta", "alpha"),
    "no order of its inputs.*alpha, zeta",
    "dictionary",
    pair,
)
refuse(
    "with one input too many", lambda: saved(lambda m, x: {"y": x}), "2 inputs; the model takes: x", "by its name", pair
)
STATE = ("draws random numbers or keeps state between calls", "switch that off in the model")
refuse("with noise", lambda: saved(lambda m, x: {"y": x + tf.random.normal(tf.shape(x))}), *STATE)
refuse("that counts", lambda: saved(lambda m, x: {"y": x + m.scale.assign_add(1.0)}), *STATE)


def without_signature() -> Path:
    path = folder()
    tf.saved_model.save(tf.Module(), str(path))
    return path


def file(name: str) -> Path:
    path = folder().with_name(name)
    path.write_bytes(b"a model of another kind")
    return path


refuse("without a signature", without_signature, "no signature 'serving_default'; it has: none", "signatures=")
refuse("that is not there", lambda: Path("nowhere/model"), "There is no folder nowhere", "name the folder")
refuse("that is a Keras file", lambda: file("model.keras"), "is a Keras model in a file", "load_model")
refuse("that is a pickle", lambda: file("model.pkl"), "is a pickled model in a file", "if you trust who made it")
refuse("that is a joblib file", lambda: file("model.joblib"), "is a pickled model in a file", "joblib.load")
refuse("that is a torch file", lambda: file("model.pt"), "is a torch model in a file", "torch.jit.load")
refuse("that is an ONNX file", lambda: file("model.onnx"), "is an ONNX file already", "Session")
