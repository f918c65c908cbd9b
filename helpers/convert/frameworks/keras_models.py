"""Keras: sequential, functional and subclassed models, by Keras's own export."""

from pathlib import Path
from typing import Any

import numpy as np

from helpers.convert.conversion import Arrays, Converter, from_package, numbered
from helpers.convert.model_file import save
from helpers.convert.silence import quietly
from helpers.errors import UserError

OPSET = 18


def write(model: Any, example: Arrays, path: Path) -> None:
    """Keras's export forgets the names of the outputs."""
    import onnx

    with quietly():
        try:
            model.export(path, format="onnx", opset_version=OPSET, verbose=False)
        except Exception as error:  # of Keras, of its backend, or of a layer's own code
            raise explain(model, error) from error
    if not path.exists():
        raise UserError(f"{model.name} could not be exported.", "see what model.export(path, format='onnx') prints.")
    save(onnx.load(path), path, outputs=output_names(model, len(answer(model, example))))


def output_names(model: Any, count: int) -> list[str]:
    """The layers' names, where the model is made of layers in a known order."""
    import keras

    if isinstance(model, keras.Sequential):
        return [model.layers[-1].name]
    named = list(getattr(model, "output_names", []))
    return named if len(named) == count else numbered("output", count)


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
