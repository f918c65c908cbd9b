"""What XGBoost and LightGBM have in common on the way to ONNX: one table in, a class or a number out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.conversion import Arrays
from helpers.convert.model_file import save
from helpers.convert.silence import quietly
from helpers.errors import UserError

OPSET = 15  # the newest that onnxmltools writes


def write_trees(model: Any, convert: Callable[..., Any], example: Arrays, path: Path, **options: Any) -> None:
    """Write the trees with one of onnxmltools' converters; their input is float32."""
    from onnxmltools.convert.common.data_types import FloatTensorType

    columns = table(example).shape[1]
    with quietly():
        try:
            made = convert(
                model, initial_types=[("input", FloatTensorType([None, columns]))], target_opset=OPSET, **options
            )
        except Exception as error:  # onnxmltools raises of many kinds
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{type(model).__name__} could not be converted: {said[:300]}",
                "see that it is fitted, on numbers only, and that its booster is made of trees.",
            ) from error
    save(made, path)


def table(arrays: Arrays) -> NDArray[Any]:
    if len(arrays) != 1 or arrays[0].ndim != 2:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise UserError(f"The example has the shape {shapes}; trees take one table.", "pass rows with a column each.")
    return arrays[0]


def classified(model: Any, rows: NDArray[Any]) -> Arrays:
    """What a model with scikit-learn's methods answers: a class and its probabilities, or a number."""
    label = np.asarray(model.predict(rows))
    return (label, np.asarray(model.predict_proba(rows))) if hasattr(model, "predict_proba") else (label,)


def from_booster(objective: str, given: NDArray[Any]) -> Arrays:
    """The same from the library's own booster, which gives one probability where there are two classes."""
    if not objective.startswith(("binary", "multi")):
        return (given,)
    if objective == "multi:softmax":
        return (given.astype(np.int64),)
    probabilities = np.stack([1 - given, given], axis=1) if given.ndim == 1 else given
    return probabilities.argmax(axis=1), probabilities
