"""A conversion leaves its model as it was, and refuses one whose answers cannot be repeated."""

import copy
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from helpers.convert.errors import ConversionError
from helpers.convert.inputs import Arrays, Inputs


@contextmanager
def copied(model: Any) -> Iterator[Any]:
    """A copy to work on; the model itself, where it cannot be copied."""
    try:
        working = copy.deepcopy(model)
    except Exception:  # whatever an attribute that cannot be copied raises
        working = model
    yield working


@contextmanager
def itself(model: Any) -> Iterator[Any]:
    """For models that no question changes."""
    yield model


@contextmanager
def random_state_kept() -> Iterator[None]:
    """The caller's random numbers go on where they were."""
    python, arrays = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    tensors = torch.get_rng_state() if torch else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
        if torch and tensors is not None:
            torch.set_rng_state(tensors)


def expect_repeatable(name: str, answer: Callable[[Inputs], Arrays], inputs: Inputs) -> None:
    """Refuse a model that answers the same rows otherwise the next time."""
    first = answer(inputs)
    answer(inputs.map(lambda array: array[::-1].copy()))
    again = answer(inputs)
    for one, other in zip(first, again, strict=True):
        if one.shape == other.shape and _alike(one, other):
            continue
        raise ConversionError(
            f"{name} answers the same rows otherwise the second time: it draws random numbers or keeps state between "
            "calls, which a file cannot do.",
            "switch that off in the model. verify=False converts it all the same: nothing then shows that it is right.",
        )


def _alike(one: Any, other: Any) -> bool:
    if one.dtype.kind in "fc":
        return bool(np.allclose(one, other, rtol=1e-5, atol=1e-6, equal_nan=True))
    return bool(np.array_equal(one, other))
