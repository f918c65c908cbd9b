"""LightGBM: its classes in scikit-learn's manner and its own Booster, through onnxmltools."""

from pathlib import Path
from typing import Any

import numpy as np

from helpers.convert.conversion import Arrays, Converter, from_package
from helpers.convert.frameworks import boosted_trees


def write(model: Any, example: Arrays, path: Path) -> None:
    from onnxmltools.convert import convert_lightgbm

    boosted_trees.write_trees(model, convert_lightgbm, example, path, zipmap=False)


def answer(model: Any, arrays: Arrays) -> Arrays:
    import lightgbm

    rows = boosted_trees.table(arrays)
    if not isinstance(model, lightgbm.Booster):
        return boosted_trees.classified(model, rows)
    objective = str(model.dump_model().get("objective", ""))
    return boosted_trees.from_booster(objective, np.asarray(model.predict(rows)))


CONVERTER = Converter("LightGBM", from_package("lightgbm"), write, answer, needs=("lightgbm", "onnxmltools"))
