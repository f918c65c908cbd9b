"""XGBoost: its classes in scikit-learn's manner and its own Booster, through onnxmltools."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from helpers.convert.conversion import Arrays, Converter, from_package
from helpers.convert.frameworks import boosted_trees


def write(model: Any, example: Arrays, path: Path) -> None:
    from onnxmltools.convert import convert_xgboost

    boosted_trees.write_trees(model, convert_xgboost, example, path)


def answer(model: Any, arrays: Arrays) -> Arrays:
    import xgboost

    rows = boosted_trees.table(arrays)
    if not isinstance(model, xgboost.Booster):
        return boosted_trees.classified(model, rows)
    objective = json.loads(model.save_config())["learner"]["objective"]["name"]
    return boosted_trees.from_booster(objective, np.asarray(model.predict(xgboost.DMatrix(rows))))


CONVERTER = Converter("XGBoost", from_package("xgboost"), write, answer, needs=("xgboost", "onnxmltools"))
