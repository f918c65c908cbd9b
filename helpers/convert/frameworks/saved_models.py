"""TensorFlow: a SavedModel's folder, or the same loaded, through tf2onnx."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from helpers.convert.conversion import Arrays, Converter
from helpers.convert.silence import quietly
from helpers.errors import UserError

OPSET = 18
SIGNATURE = "serving_default"  # what TensorFlow Serving asks as well


def handles(kind: type) -> bool:
    return issubclass(kind, Path) or kind.__module__.split(".")[0] == "tensorflow"


def write(model: Any, example: Arrays, path: Path) -> None:
    import onnx
    import tensorflow as tf
    import tf2onnx

    function, specs = as_function(model, example)
    with quietly():
        try:
            batches = [tf.TensorSpec((None, *spec.shape[1:]), spec.dtype, name=spec.name) for spec in specs]
            made, _ = tf2onnx.convert.from_function(tf.function(function), batches, opset=OPSET)
        except Exception as error:  # of TensorFlow and of tf2onnx
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"The SavedModel could not be converted: {said[:300]}",
                "see whether it answers itself: tf.saved_model.load(folder).signatures.",
            ) from error
    onnx.save(made, path)


def answer(model: Any, arrays: Arrays) -> Arrays:
    function, _ = as_function(model, arrays)
    given = function(*arrays)
    return tuple(np.asarray(tensor) for tensor in given.values())


def as_function(model: Any, arrays: Arrays) -> tuple[Callable[..., Any], list[Any]]:
    """The signature as a function of its inputs in order, and their specs."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(_folder(model))) if isinstance(model, Path) else model
    signatures = getattr(loaded, "signatures", {})
    if SIGNATURE not in signatures:
        has = ", ".join(signatures) or "none"
        raise UserError(
            f"The model has no signature {SIGNATURE!r}; it has: {has}.",
            "save it with signatures=, or export a Keras model with model.export(folder).",
        )
    signature = signatures[SIGNATURE]
    specs = signature.structured_input_signature[1]
    if len(specs) != len(arrays):
        raise UserError(f"The example has {len(arrays)} inputs; the model takes: {', '.join(specs)}.", "pass each.")

    def call(*tensors: Any) -> Any:
        typed = {name: tf.cast(tensor, spec.dtype) for (name, spec), tensor in zip(specs.items(), tensors, strict=True)}
        return loaded.signatures[SIGNATURE](**typed)

    return call, list(specs.values())


def _folder(path: Path) -> Path:
    if not (path / "saved_model.pb").is_file():
        raise UserError(f"{path} is no SavedModel: it holds no saved_model.pb.", "name the folder of a SavedModel.")
    return path


CONVERTER = Converter("TensorFlow", handles, write, answer, needs=("tensorflow", "tf2onnx"))
