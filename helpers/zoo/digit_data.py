"""The handwritten digits that ship with scikit-learn, ready for a convolutional network."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Digits:
    """1,797 digits of 8 by 8 pixels, cut into a training and a test part.

    Images are float32 of shape (n, 1, 8, 8) with values from 0 (paper) to 1 (ink).
    """

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def digits() -> Digits:
    """The digits, cut in the same way each time; the arrays are the caller's own."""
    return Digits(*(part.copy() for part in _parts()))


@cache
def _parts() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    loaded = load_digits()
    images = (loaded.images / 16).astype(np.float32)[:, None]
    labels = loaded.target.astype(np.int64)
    split = train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)
    train_images, test_images, train_labels, test_labels = split
    return train_images, train_labels, test_images, test_labels
