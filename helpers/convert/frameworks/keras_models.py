"""Keras: sequential, functional and subclassed models, by Keras's own export."""

from pathlib import Path
from typing import Any

import numpy as np

from helpers.convert.conversion import Arrays, Converter, from_package
from helpers.convert.model_file import save
from helpers.convert.silence import quietly
from helpers.errors import UserError

OPSET = 18


def write(model: Any, example: Arrays, path: Path) -> None:
    """Keras knows the shape of a model that has been called once, and forgets the names of its outputs."""
    import onnx

    with quietly():
        try:
            answer(model, example)
            model.export(path, format="onnx", opset_version=OPSET, verbose=False)
        except Exception as error:  # of Keras, of its backend, or of a layer's own code
            raise explain(model, error) from error
    if not path.exists():
        raise UserError(f"{model.name} could not be exported.", "see what model.export(path, format='onnx') prints.")
    names = getattr(model, "output_names", None)
    if names:
        save(onnx.load(path), path, outputs=names)


def answer(model: Any, arrays: Arrays) -> Arrays:
    given = model(arrays[0] if len(arrays) == 1 else list(arrays), training=False)
    if isinstance(given, dict):
        given = tuple(given.values())
    return tuple(np.asarray(array) for array in (given if isinstance(given, (tuple, list)) else (given,)))


def explain(model: Any, error: BaseException) -> UserError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UserError(
        f"{type(model).__name__} {model.name!r} could not be exported: {said[:300]}",
        "see whether the model answers the example itself; a layer that runs Python code cannot be converted.",
    )


CONVERTER = Converter("Keras", from_package("keras"), write, answer, needs=("keras", "tf2onnx"))
