"""XGBoost and LightGBM to ONNX, in scikit-learn's manner and in their own."""

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost

from helpers import zoo
from helpers.convert import inputs_like, parity, read_graph, to_onnx
from helpers.errors import UserError

DATA = zoo.flat_digits()
ROWS, LABELS = DATA.train_images, DATA.train_labels
THREES = (LABELS == 3).astype(int)
CLASSES, NUMBER = ["label int64", "probabilities float32"], ["output float32"]


def booster(labels: Any, **settings: Any) -> xgboost.Booster:
    return xgboost.train({"nthread": 1, **settings}, xgboost.DMatrix(ROWS, label=labels), 8)


def leafwise(labels: Any, **settings: Any) -> lightgbm.Booster:
    return lightgbm.train({"verbose": -1, "num_threads": 1, **settings}, lightgbm.Dataset(ROWS, labels), 8)


CASES = {
    "zoo xgboost": (zoo.digits_xgboost, CLASSES),
    "zoo lightgbm": (zoo.digits_lightgbm, CLASSES),
    "xgboost two classes": (lambda: xgboost.XGBClassifier(n_estimators=8, n_jobs=1).fit(ROWS, THREES), CLASSES),
    "xgboost number": (lambda: xgboost.XGBRegressor(n_estimators=8, n_jobs=1).fit(ROWS, LABELS), NUMBER),
    "xgboost booster": (lambda: booster(LABELS, objective="multi:softprob", num_class=10), CLASSES),
    "xgboost booster, two classes": (lambda: booster(THREES, objective="binary:logistic"), CLASSES),
    "xgboost booster, label only": (lambda: booster(LABELS, objective="multi:softmax", num_class=10), ["label int64"]),
    "xgboost booster, number": (lambda: booster(LABELS), NUMBER),
    "lightgbm two classes": (
        lambda: lightgbm.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1).fit(ROWS, THREES),
        CLASSES,
    ),
    "lightgbm number": (lambda: lightgbm.LGBMRegressor(n_estimators=8, n_jobs=1, verbose=-1).fit(ROWS, LABELS), NUMBER),
    "lightgbm booster": (lambda: leafwise(LABELS, objective="multiclass", num_class=10), CLASSES),
    "lightgbm booster, two classes": (lambda: leafwise(THREES, objective="binary"), CLASSES),
    "lightgbm booster, number": (lambda: leafwise(LABELS, objective="regression"), NUMBER),
}


@pytest.mark.parametrize("name", CASES)
def test_the_file_answers_as_the_trees_do(name: str, tmp_path: Path) -> None:
    make, answers = CASES[name]
    model = make()
    path = to_onnx(model, ROWS, tmp_path / "x.onnx")
    graph = read_graph(path)
    assert [f"{value.name} {value.dtype}" for value in graph.outputs] == answers
    assert all(value.shape and value.shape[0] == "batch" for value in (*graph.inputs, *graph.outputs))
    found = parity(model, path, inputs_like(ROWS))
    assert found.largest <= 1e-4 and not found.flipped
    assert graph.weight_count > 0, "the trees' numbers are counted"


def test_double_precision_is_asked_of_a_file_in_single(tmp_path: Path) -> None:
    rows = ROWS.astype(np.float64)
    path = to_onnx(zoo.digits_xgboost(), rows, tmp_path / "x.onnx")
    assert read_graph(path).inputs[0].dtype == "float32"
    found = parity(zoo.digits_xgboost(), path, inputs_like(rows))
    assert found.largest <= 1e-4 and found.flipped == 0


def test_an_image_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"shape \(2, 8, 8\); trees take one table"):
        to_onnx(zoo.digits_xgboost(), np.zeros((3, 8, 8), np.float32), tmp_path / "x.onnx")


def test_trees_that_were_not_fitted(tmp_path: Path) -> None:
    for model in (xgboost.XGBClassifier(), lightgbm.LGBMClassifier(verbose=-1)):
        with pytest.raises(UserError, match="itself does not answer the example"):
            to_onnx(model, ROWS, tmp_path / "x.onnx")
