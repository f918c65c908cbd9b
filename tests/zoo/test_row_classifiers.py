"""A classifier of each framework, on the same digits: good enough, seeded, and quick to have."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers import zoo
from helpers.zoo import row_classifiers

DATA = zoo.flat_digits()


def named(model: Any) -> np.ndarray:
    """The labels that a model gives the test digits."""
    if hasattr(model, "layers"):
        return np.asarray(model(DATA.test_images)).argmax(axis=1)
    return np.asarray(model.predict(DATA.test_images))


def test_the_rows_are_the_images() -> None:
    images = zoo.digits().test_images
    assert DATA.test_images.shape == (450, 64) and np.array_equal(DATA.test_images, images.reshape(450, 64))


@pytest.mark.parametrize("make", [zoo.digits_pipeline, zoo.digits_xgboost, zoo.digits_lightgbm, zoo.digits_keras])
def test_each_reads_digits_and_is_the_same_each_time(make: Callable[[], Any]) -> None:
    first, again = named(make()), named(make())
    assert (first == DATA.test_labels).mean() >= 0.95
    assert np.array_equal(first, again)


def test_training_keras_leaves_the_callers_random_numbers_alone(home: Path) -> None:
    random.seed(3)
    np.random.seed(3)
    expected = random.random(), np.random.random()
    random.seed(3)
    np.random.seed(3)
    first = row_classifiers._train_keras()
    assert (random.random(), np.random.random()) == expected
    second = row_classifiers._train_keras()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_the_wide_network_is_seeded() -> None:
    rows = torch.rand(2, 784)
    with torch.no_grad():
        answer = zoo.wide_mlp()(rows)
        assert answer.shape == (2, 10)
        assert torch.equal(answer, zoo.wide_mlp()(rows))
        assert not torch.equal(answer, zoo.wide_mlp(seed=1)(rows))
    assert sum(weights.numel() for weights in zoo.wide_mlp().parameters()) > 2_000_000
