"""TensorFlow: a SavedModel's folder, or the same loaded, through tf2onnx."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from helpers.convert.conversion import Converter
from helpers.convert.errors import ConversionError
from helpers.convert.frameworks.tensorflow_functions import as_array, explain, specs_like, write_function
from helpers.convert.inputs import Arrays, Inputs
from helpers.convert.shapes import Lengths

SIGNATURE = "serving_default"  # what TensorFlow Serving asks as well

# Files that hold a model of one framework, and how it is loaded.
FILES = {
    ".keras": "a Keras model",
    ".h5": "a Keras model",
    ".pkl": "a pickled model",
    ".pickle": "a pickled model",
    ".joblib": "a pickled model",
    ".pt": "a torch model",
    ".pth": "a torch model",
    ".ckpt": "a checkpoint",
    ".safetensors": "a table of weights",
    ".json": "a model of XGBoost",
    ".ubj": "a model of XGBoost",
    ".txt": "a model of LightGBM",
}
LOADED = {
    "a Keras model": "keras.models.load_model(path)",
    "a pickled model": "joblib.load(path), if you trust who made it: a pickle can run any code",
    "a torch model": "torch.jit.load(path) for TorchScript; a state dict goes into your module with load_state_dict",
    "a checkpoint": "the class that it was made from",
    "a table of weights": "your module's load_state_dict",
    "a model of XGBoost": "xgboost.Booster(model_file=path)",
    "a model of LightGBM": "lightgbm.Booster(model_file=path)",
}


def handles(kind: type) -> bool:
    return issubclass(kind, Path) or kind.__module__.split(".")[0] == "tensorflow"


def write(model: Any, example: Inputs, path: Path, lengths: Lengths | None = None) -> None:
    signature = signature_of(model)
    names = in_order(signature, example)
    specs = signature.structured_input_signature[1]
    outputs = sorted(signature.structured_outputs)

    def function(*tensors: Any) -> list[Any]:
        given = signature(**dict(zip(names, tensors, strict=True)))
        return [given[name] for name in outputs]

    try:
        types = [specs[name].dtype for name in names]
        write_function(function, specs_like(example, names, types, lengths), outputs, path)
    except Exception as error:  # of TensorFlow and of tf2onnx
        raise explain("The SavedModel", error) from error


def answer(model: Any, arrays: Inputs) -> Arrays:
    import tensorflow as tf

    signature = signature_of(model)
    specs = signature.structured_input_signature[1]
    names = in_order(signature, arrays)
    given = signature(
        **{
            name: tf.cast(array, specs[name].dtype) if specs[name].dtype != tf.string else tf.constant(array)
            for name, array in zip(names, arrays, strict=True)
        }
    )
    return tuple(as_array(given[name]) for name in sorted(given))


def signature_of(model: Any) -> Any:
    """The function that servers ask."""
    signatures = getattr(model, "signatures", {})
    if SIGNATURE not in signatures:
        has = ", ".join(signatures) or "none"
        raise ConversionError(
            f"The model has no signature {SIGNATURE!r}; it has: {has}.",
            "save it with signatures=, or export a Keras model with model.export(folder).",
        )
    return signatures[SIGNATURE]


def in_order(signature: Any, example: Inputs) -> list[str]:
    """The names of the inputs that the example has. A SavedModel names its inputs and has no order of them."""
    specs = signature.structured_input_signature[1]
    if len(specs) != len(example):
        raise ConversionError(
            f"The example has {len(example)} inputs; the model takes: {', '.join(sorted(specs))}.",
            "pass each by its name.",
        )
    if len(specs) == 1:
        return list(specs)
    if set(example.names) != set(specs):
        raise ConversionError(
            f"A SavedModel has no order of its inputs; the model takes: {', '.join(sorted(specs))}.",
            f"pass the example as a dictionary, {{{', '.join(f'{name!r}: …' for name in sorted(specs))}}}.",
        )
    return list(example.names)


@contextmanager
def unchanged(model: Any) -> Iterator[Any]:
    """A folder, loaded; of a model that is loaded already, all variables are put back."""
    import tensorflow as tf

    if isinstance(model, Path):
        yield tf.saved_model.load(str(_folder(model)))
        return
    signature = signature_of(model)
    kept = [(variable, np.array(variable)) for variable in signature.variables]
    try:
        yield model
    finally:
        for variable, value in kept:
            variable.assign(value)


def _folder(path: Path) -> Path:
    if (path / "saved_model.pb").is_file():
        return path
    what = FILES.get(path.suffix.lower())
    if what and not path.is_dir():
        raise ConversionError(
            f"{path} is {what} in a file; to_onnx takes the model.", f"load it first: {LOADED[what]}."
        )
    if path.suffix.lower() == ".onnx":
        raise ConversionError(f"{path} is an ONNX file already.", "use it as it is: helpers.runtime.Session(path).")
    if not path.exists():
        raise ConversionError(
            f"There is no folder {path}.", "name the folder of a SavedModel, or pass the model itself."
        )
    raise ConversionError(f"{path} is not a SavedModel: it has no saved_model.pb.", "name the folder of a SavedModel.")


CONVERTER = Converter(
    "TensorFlow",
    handles,
    write,
    answer,
    needs=("tensorflow", "tf2onnx"),
    unchanged=unchanged,
    takes=("dynamic_axes",),
)
