"""Keras: sequential, functional and subclassed models, as a TensorFlow function."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from helpers.convert.conversion import Converter, from_package
from helpers.convert.errors import ConversionError
from helpers.convert.frameworks.tensorflow_functions import as_array, explain, leaves, specs_like, write_function
from helpers.convert.inputs import Arrays, Inputs
from helpers.convert.shapes import Lengths


def write(model: Any, example: Inputs, path: Path, lengths: Lengths | None = None) -> None:
    given = leaves(ask(model, list(example), example.names))
    names = input_names(model, example)
    specs = specs_like(
        example, names, [array.dtype if array.dtype != object else "string" for array in example], lengths
    )

    def function(*tensors: Any) -> list[Any]:
        return [tensor for _, tensor in leaves(ask(model, list(tensors), example.names, training=False))]

    try:
        write_function(function, specs, output_names(model, [name for name, _ in given]), path)
    except ConversionError:
        raise
    except Exception as error:  # of Keras, of its backend, or of a layer's own code
        raise explain(f"{type(model).__name__} {model.name!r}", error) from error


def answer(model: Any, arrays: Inputs) -> Arrays:
    return tuple(as_array(tensor) for _, tensor in leaves(ask(model, list(arrays), arrays.names)))


def ask(model: Any, tensors: list[Any], names: tuple[str, ...], **mode: bool) -> Any:
    """What a call of the model returns. A file never trains; a model that is built to do so differs from it."""
    if names:
        return model(dict(zip(names, tensors, strict=True)), **mode)
    return model(tensors[0] if len(tensors) == 1 else tensors, **mode)


def input_names(model: Any, example: Inputs) -> list[str]:
    """The caller's names, or those of the model's inputs, where it is made of layers in a known order."""
    if example.names:
        return list(example.names)
    known = [tensor.name for tensor in getattr(model, "inputs", None) or []]
    if len(known) == len(example):
        return known
    return ["input"] if len(example) == 1 else [f"input_{place}" for place in range(len(example))]


def output_names(model: Any, found: list[str]) -> list[str]:
    """The keys of a dictionary, or the layers' names, where the model is made of layers in a known order."""
    import keras

    if not all(name == "output" or name.startswith("output_") for name in found):
        return found
    if isinstance(model, keras.Sequential):
        return [model.layers[-1].name]
    named = list(getattr(model, "output_names", None) or [])
    return named if len(named) == len(found) == len(set(named)) else found


@contextmanager
def unchanged(model: Any) -> Iterator[Any]:
    """The model itself, with all put back that a call may change.

    These are its variables (weights, statistics, seeds), the states of recurrent layers, and plain
    numbers among the attributes of its layers.
    """
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise ConversionError(
            f"Keras runs on {keras.backend.backend()} here.", "set KERAS_BACKEND=tensorflow before Keras is imported."
        )
    layers = list(model._flatten_layers())
    states = [state for layer in layers for state in tf.nest.flatten(getattr(layer, "states", None) or [])]
    variables = [*model.variables, *(state for state in states if hasattr(state, "assign"))]
    kept = [np.array(variable) for variable in variables]
    numbers = [{name: value for name, value in vars(layer).items() if type(value) in (int, float)} for layer in layers]
    try:
        yield model
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)
        for layer, attributes in zip(layers, numbers, strict=True):
            for name, value in attributes.items():
                if getattr(layer, name) != value:
                    setattr(layer, name, value)


CONVERTER = Converter(
    "Keras",
    from_package("keras"),
    write,
    answer,
    needs=("keras", "tf2onnx"),
    unchanged=unchanged,
    takes=("dynamic_axes",),
)
