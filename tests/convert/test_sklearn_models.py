"""scikit-learn to ONNX: estimators, pipelines, the trap of scaled trees, and refusals that name the step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC

from helpers import zoo
from helpers.convert import inputs_like, parity, read_graph, to_onnx
from helpers.errors import UserError

DATA = zoo.flat_digits()
ROWS, LABELS = DATA.train_images, DATA.train_labels
WORDS = np.array([f"digit {number}" for number in range(10)])[LABELS]


def outputs(path: Path) -> list[str]:
    return [f"{value.name} {value.dtype}" for value in read_graph(path).outputs]


def logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=1000)


def by_columns() -> Any:
    parts = make_column_transformer((StandardScaler(), [0, 1, 2, 3]), (MinMaxScaler(), slice(4, 64)))
    return make_pipeline(parts, logistic())


@pytest.mark.parametrize(
    ("model", "labels", "answers"),
    [
        (make_pipeline(StandardScaler(), PCA(40), logistic()), LABELS, ["label int64", "probabilities float32"]),
        (by_columns(), LABELS, ["label int64", "probabilities float32"]),
        (HistGradientBoostingClassifier(max_iter=10), LABELS, ["label int64", "probabilities float32"]),
        (logistic(), WORDS, ["label object", "probabilities float32"]),
        (SVC(), LABELS, ["label int64"]),
        (LinearSVC(), LABELS, ["label int64"]),
        (KMeans(5, n_init=1), LABELS, ["label int64"]),
        (Ridge(), LABELS, ["output float32"]),
        (make_pipeline(StandardScaler(), PCA(3)), LABELS, ["output float32"]),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
def test_it_answers_as_scikit_learn_does(model: Any, labels: Any, answers: list[str], tmp_path: Path) -> None:
    model.fit(ROWS, labels)
    path = to_onnx(model, ROWS, tmp_path / "x.onnx")
    assert outputs(path) == answers
    found = parity(model, path, inputs_like(ROWS))
    assert found.largest <= 1e-4 and not found.flipped


def test_a_forest_flips_ties_only(tmp_path: Path) -> None:
    """A hundred trees vote, and two classes may get the same number of votes."""
    model = RandomForestClassifier(100, random_state=0).fit(ROWS, LABELS)
    path = to_onnx(model, ROWS, tmp_path / "x.onnx")
    found = parity(model, path, inputs_like(ROWS))
    assert found.largest <= 1e-6 and found.flipped == found.ties


def test_double_precision_stays_double(tmp_path: Path) -> None:
    rows = ROWS.astype(np.float64)
    model = make_pipeline(StandardScaler(), logistic()).fit(rows, LABELS)
    path = to_onnx(model, rows, tmp_path / "x.onnx")
    assert read_graph(path).inputs[0].dtype == "float64"
    assert parity(model, path, inputs_like(rows)).largest <= 1e-12


def test_scaled_trees_flip_no_label(tmp_path: Path) -> None:
    """With the scaler that skl2onnx writes by itself, hundreds do: see lesson 02."""
    from skl2onnx import to_onnx as plain
    from skl2onnx.common.data_types import FloatTensorType

    trees = xgboost.XGBClassifier(n_estimators=40, max_depth=4, n_jobs=1)
    model = make_pipeline(StandardScaler(), trees).fit(ROWS, LABELS)
    path = to_onnx(model, ROWS, tmp_path / "x.onnx")
    inputs = inputs_like(ROWS)
    found = parity(model, path, inputs)
    assert found.largest <= 1e-4 and found.flipped == 0
    trap = plain(
        model,
        initial_types=[("input", FloatTensorType([None, 64]))],
        options={id(model): {"zipmap": False}},
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    (tmp_path / "trap.onnx").write_bytes(trap.SerializeToString())
    flipped = parity(model, tmp_path / "trap.onnx", inputs).flipped
    assert flipped is not None and flipped > 10


@pytest.mark.parametrize(
    "scaler", [RobustScaler(), MaxAbsScaler(), MinMaxScaler()], ids=lambda made: type(made).__name__
)
def test_no_other_scaler_flips_labels_either(scaler: Any, tmp_path: Path) -> None:
    model = make_pipeline(scaler, xgboost.XGBClassifier(n_estimators=40, max_depth=4, n_jobs=1)).fit(ROWS, LABELS)
    found = parity(model, to_onnx(model, ROWS, tmp_path / "x.onnx"), inputs_like(ROWS))
    assert found.largest <= 1e-4 and found.flipped == 0


def test_trees_take_double_precision(tmp_path: Path) -> None:
    model = HistGradientBoostingClassifier(max_iter=5).fit(ROWS, LABELS)
    path = to_onnx(model, ROWS.astype(np.float64), tmp_path / "x.onnx")
    assert read_graph(path).inputs[0].dtype == "float64"
    found = parity(model, path, ROWS.astype(np.float64))
    assert found.largest <= 1e-6 and found.flipped == 0


class Doubled(FunctionTransformer):
    pass


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (make_pipeline(FunctionTransformer(np.log1p), logistic()).fit(ROWS, LABELS), "The step FunctionTransformer"),
        (make_pipeline(Doubled(np.log1p), logistic()).fit(ROWS, LABELS), "The step Doubled"),
        (logistic(), "itself does not answer the example .* not fitted yet"),
        (make_pipeline(StandardScaler(), logistic()), "itself does not answer the example .* not fitted yet"),
    ],
    ids=["function", "own step", "unfitted", "unfitted pipeline"],
)
def test_what_cannot_be_converted_names_the_step(model: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        to_onnx(model, ROWS, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_example_of_other_columns_is_refused(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), logistic()).fit(ROWS, LABELS)
    with pytest.raises(UserError, match="features"):
        to_onnx(model, ROWS[:, :7], tmp_path / "x.onnx")
    with pytest.raises(UserError, match="2 inputs; a scikit-learn model takes one"):
        to_onnx(model, (ROWS, ROWS), tmp_path / "x.onnx")
