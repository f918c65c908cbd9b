"""A TensorFlow function as an ONNX file, through tf2onnx: what Keras and SavedModels have in common."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.errors import ConversionError
from helpers.convert.inputs import Inputs
from helpers.convert.model_file import save
from helpers.convert.shapes import Lengths

OPSET = 18


def specs_like(example: Inputs, names: Sequence[str], dtypes: Sequence[Any], lengths: Lengths | None) -> list[Any]:
    """The inputs' types: any number of rows, and any size of the axes that have a name."""
    import tensorflow as tf

    specs = []
    for place, (array, name, dtype) in enumerate(zip(example, names, dtypes, strict=True)):
        free = {0, *(lengths or {}).get(place, {})}
        shape = [None if axis in free else size for axis, size in enumerate(array.shape)]
        specs.append(tf.TensorSpec(shape, dtype, name=name))
    return specs


def write_function(function: Callable[..., list[Any]], specs: list[Any], outputs: Sequence[str], path: Path) -> None:
    """Write a function of tensors that returns a list of them; ``outputs`` are their names, in order."""
    import tensorflow as tf
    import tf2onnx

    traced = tf.function(function)
    made, _ = tf2onnx.convert.from_function(traced, specs, opset=OPSET)
    concrete = traced.get_concrete_function(*specs)
    _fill_captured(made, concrete, len(specs))
    wanted = [tensor.name for tensor in concrete.outputs]
    found = {value.name: value for value in made.graph.output}
    if set(wanted) <= set(found):  # tf2onnx may sort them
        del made.graph.output[:]
        made.graph.output.extend(found[name] for name in wanted)
    save(made, path, outputs=outputs)


def _fill_captured(made: Any, concrete: Any, count: int) -> None:
    """Numbers that the function closes over, such as a mean, are constants: tf2onnx asks the caller for them."""
    import onnx

    captured = dict(
        zip((tensor.name for tensor in concrete.inputs), [None] * count + list(concrete.captured_inputs), strict=False)
    )
    for value in list(made.graph.input)[count:]:
        tensor = captured.get(value.name, captured.get(value.name + ":0"))
        if tensor is None or tensor.dtype.name == "resource":
            continue
        made.graph.input.remove(value)
        made.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(tensor), value.name))


def leaves(given: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """The tensors of an answer by name: a key keeps its name, and one inside another is ``outer.inner``."""
    if isinstance(given, dict):
        entries = [(str(key), value) for key, value in given.items()]
    elif isinstance(given, (tuple, list)):
        entries = [(f"output_{place}" if not prefix else str(place), value) for place, value in enumerate(given)]
    else:
        return [(prefix or "output", given)]
    return [
        leaf
        for key, value in entries
        if value is not None
        for leaf in leaves(value, f"{prefix}.{key}" if prefix else key)
    ]


def as_array(tensor: Any) -> NDArray[Any]:
    """TensorFlow's text is bytes; a file's is text."""
    array = np.asarray(tensor)
    if array.dtype.kind != "O":
        return array
    texts = [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in array.flat]
    return np.array(texts, object).reshape(array.shape)


def explain(what: str, error: Exception) -> ConversionError:
    if "AssignAddVariableOp" in str(error) or "AssignVariableOp" in str(error):
        return ConversionError(
            f"{what} assigns a variable when it is called: it keeps state between calls, which a file cannot do.",
            "compute the state outside of the model, and pass it as an input.",
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = next((line for line in lines if not line.endswith("in user code:")), "")
    if lines and lines[0].endswith("in user code:"):  # the reason stands below the traceback
        said = lines[-1]
    return ConversionError(
        f"{what} could not be converted: {type(error).__name__}: {said[:300]}",
        "leave out the layer or the operation that is named, or compute it outside of the model.",
    )
