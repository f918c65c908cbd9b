"""scikit-learn: estimators and pipelines, through skl2onnx."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from helpers.convert.conversion import Arrays, Converter, from_package
from helpers.convert.model_file import save
from helpers.convert.silence import quietly
from helpers.errors import UserError

# onnxmltools translates trees up to here; ONNX Runtime reads it since 2021.
OPSETS = {"": 18, "ai.onnx.ml": 3}


def write(model: Any, example: Arrays, path: Path) -> None:
    """A classifier's file answers with ``label`` and ``probabilities``."""
    from skl2onnx import to_onnx

    introduce_boosted_trees()
    inputs = [(name, tensor_type(array)) for name, array in zip(input_names(example), example, strict=True)]
    with quietly():
        try:
            made = to_onnx(model, initial_types=inputs, options=options_for(model), target_opset=OPSETS)
        except Exception as error:  # skl2onnx raises of many kinds
            raise explain(model, error) from error
    save(made, path)


def answer(model: Any, arrays: Arrays) -> Arrays:
    """What stands first in the file: a class and its probabilities, a number, or a transformed row."""
    rows = arrays[0]
    if not hasattr(model, "predict"):
        return (np.asarray(model.transform(rows)),)
    label = np.asarray(model.predict(rows))
    return (label, np.asarray(model.predict_proba(rows))) if hasattr(model, "predict_proba") else (label,)


def input_names(example: Arrays) -> list[str]:
    if len(example) != 1:
        raise UserError(
            f"The example has {len(example)} inputs; a scikit-learn model takes one table.",
            "pass one array, with a column for each feature.",
        )
    return ["input"]


def tensor_type(array: Any) -> Any:
    """skl2onnx's type of an input: any number of rows, as many columns as the example has."""
    from skl2onnx.common.data_types import guess_data_type

    _, guessed = guess_data_type(array[:1])[0]
    return type(guessed)([None, *array.shape[1:]])


def options_for(model: Any) -> dict[int, dict[str, object]]:
    """Probabilities as a table and not as dictionaries, and scaling that rounds as scikit-learn does.

    skl2onnx would write a scaler that multiplies by 1/s where scikit-learn divides by s. The two
    differ in the last bit, and a tree that comes after looks on which side of a threshold a
    number lies.
    """
    from sklearn.base import is_classifier
    from sklearn.preprocessing import MaxAbsScaler, RobustScaler, StandardScaler

    options: dict[int, dict[str, object]] = {}
    if is_classifier(model) and hasattr(model, "predict_proba"):
        options[id(model)] = {"zipmap": False}
    for step in parts(model):
        if isinstance(step, (StandardScaler, RobustScaler, MaxAbsScaler)):
            options[id(step)] = {"div": "div"}
    return options


def parts(model: Any) -> Iterator[Any]:
    """The model and, as deep as pipelines go, the models that it is made of."""
    yield model
    inner = [
        *getattr(model, "steps", []),
        *getattr(model, "transformers_", []),
        *getattr(model, "transformer_list", []),
    ]
    for entry in inner:
        yield from parts(entry[1])


def introduce_boosted_trees() -> None:
    """Tell skl2onnx about XGBoost and LightGBM, which may be a pipeline's last step.

    Only if they are imported already: a pipeline that holds one has done so.
    """
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator

    classifier = shape_calculator.calculate_linear_classifier_output_shapes
    regressor = shape_calculator.calculate_linear_regressor_output_shapes
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    if "xgboost" in sys.modules:
        import xgboost
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

        update_registered_converter(
            xgboost.XGBClassifier, "XGBoostXGBClassifier", classifier, convert_xgboost, options=options
        )
        update_registered_converter(xgboost.XGBRegressor, "XGBoostXGBRegressor", regressor, convert_xgboost)
    if "lightgbm" in sys.modules:
        import lightgbm
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        update_registered_converter(
            lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", classifier, convert_lightgbm, options=options
        )
        update_registered_converter(lightgbm.LGBMRegressor, "LightGbmLGBMRegressor", regressor, convert_lightgbm)


def explain(model: Any, error: BaseException) -> UserError:
    """Which step cannot be converted, and what then."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    for step in parts(model):
        kind = type(step).__name__
        if kind in said:
            return UserError(
                f"The step {kind} cannot be converted: {said[:200]}",
                "use a step that scikit-learn brings, move it out of the pipeline, or give skl2onnx a "
                "converter for it (skl2onnx.update_registered_converter), as lesson 02 shows.",
            )
    return UserError(
        f"{type(model).__name__} could not be converted: {said[:300]}",
        "see that the example has the type and the columns that the model was fitted on, float32 best of all.",
    )


CONVERTER = Converter(
    "scikit-learn", from_package("sklearn"), write, answer, needs=("sklearn", "skl2onnx", "onnxmltools")
)
