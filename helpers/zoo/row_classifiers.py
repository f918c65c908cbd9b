"""The digits again, each as a row of 64 numbers, and a classifier of each other framework.

They read the same digits as the course's network, so that their answers can be
compared, and their votes counted.
"""

import random
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.zoo.digit_data import Digits, digits
from helpers.zoo.kept import kept

if TYPE_CHECKING:
    import keras
    import lightgbm
    import sklearn.pipeline
    import xgboost

SEED = 0
KERAS_EPOCHS = 30
TREES = 60


def flat_digits() -> Digits:
    """The digits as float32 rows of 64 numbers from 0 (paper) to 1 (ink)."""
    data = digits()
    return Digits(
        data.train_images.reshape(-1, 64), data.train_labels, data.test_images.reshape(-1, 64), data.test_labels
    )


def digits_pipeline() -> "sklearn.pipeline.Pipeline":
    """scikit-learn: a scaler, principal components and a logistic regression in one pipeline."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = flat_digits()
    steps = StandardScaler(), PCA(40, random_state=SEED), LogisticRegression(max_iter=1000)
    return make_pipeline(*steps).fit(data.train_images, data.train_labels)


def digits_xgboost() -> "xgboost.XGBClassifier":
    """XGBoost: boosted trees."""
    import xgboost

    data = flat_digits()
    return xgboost.XGBClassifier(n_estimators=TREES, max_depth=4, random_state=SEED, n_jobs=1).fit(
        data.train_images, data.train_labels
    )


def digits_lightgbm() -> "lightgbm.LGBMClassifier":
    """LightGBM: boosted trees that grow leaf by leaf."""
    import lightgbm

    data = flat_digits()
    model = lightgbm.LGBMClassifier(
        n_estimators=TREES, num_leaves=15, random_state=SEED, n_jobs=1, deterministic=True, verbose=-1
    )
    return model.fit(data.train_images, data.train_labels)


def digits_keras() -> "keras.Model":
    """Keras: two dense layers. Its weights are trained once and kept."""
    import keras

    recipe = {"keras": keras.__version__, "seed": SEED, "epochs": KERAS_EPOCHS}
    weights = kept("digits-keras", recipe, _train_keras, "the Keras digit classifier")
    model = _untrained_keras()
    model.set_weights([weights[name] for name in sorted(weights)])
    return model


def _untrained_keras() -> "keras.Model":
    import keras

    return keras.Sequential(
        [
            keras.Input((64,), name="pixels"),
            keras.layers.Dense(64, activation="relu", name="hidden"),
            keras.layers.Dropout(0.2, seed=SEED, name="dropout"),
            keras.layers.Dense(10, activation="softmax", name="probabilities"),
        ],
        name="digits",
    )


def _train_keras() -> dict[str, NDArray[Any]]:
    """Train from the seed; the caller's own random numbers are left as they were."""
    import keras

    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        keras.utils.set_random_seed(SEED)
        data, model = flat_digits(), _untrained_keras()
        model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
        model.fit(data.train_images, data.train_labels, epochs=KERAS_EPOCHS, batch_size=64, verbose=0)
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
    return {f"{place:02}": np.asarray(weights) for place, weights in enumerate(model.get_weights())}
