"""Does the exported file answer as the original does?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.conversion import converter_for, unwrapped
from helpers.convert.inputs import Arrays, Inputs, read_example
from helpers.convert.silence import quietly
from helpers.convert.unchanged import itself
from helpers.convert.verification import TIE, as_feeds
from helpers.runtime import Session


@dataclass(frozen=True)
class Parity:
    """How far two models' answers are apart, over ``rows`` inputs.

    ``differences`` holds the largest difference of each row. ``flipped`` counts the rows
    for which the two name another class, and ``ties`` those among them for which the
    original itself gave both classes the same score. They are None where nothing is classified.
    """

    differences: NDArray[np.float64]
    flipped: int | None = None
    ties: int | None = None

    @property
    def rows(self) -> int:
        return len(self.differences)

    @property
    def largest(self) -> float:
        return float(self.differences.max())

    def __str__(self) -> str:
        text = f"{self.rows} inputs: largest difference {self.largest:.1e}"
        if self.flipped is not None:
            text += f", {self.flipped} labels flipped"
        return text + (f" ({self.ties} of them ties)" if self.ties else "")


def parity(original: Any, path: Path | str, batches: Any) -> Parity:
    """Compare a model with the ONNX file made from it, on the same inputs.

    ``original`` is a model that ``to_onnx`` knows, or a function that takes and returns
    numpy arrays with the batch first; its answers stand beside the file's outputs in order.
    ``batches`` is one array, a DataFrame or a dictionary of arrays, or several of these, or of
    tuples of arrays, in a list.

    >>> parity(pipeline, "digits.onnx", rows)               # doctest: +SKIP
    >>> parity(pipeline, "digits.onnx", inputs_like(rows))  # doctest: +SKIP
    """
    session, converter = Session(path), converter_for(original)
    rows: list[_Rows] = []
    with (converter.unchanged if converter else itself)(unwrapped(original)) as working:
        for batch in [batches] if _is_one(batches) else batches:
            inputs = read_example(batch)
            with quietly():
                wanted = converter.answer(working, inputs) if converter else _as_tuple(original(*inputs))
            given = _as_tuple(session(*as_feeds(session, inputs)))
            rows.append(_compared(wanted, given[: len(wanted)]))
    if not rows:
        raise ValueError("there is no input to compare on")
    classified = all(found.flipped is not None for found in rows)
    return Parity(
        np.concatenate([found.differences for found in rows]),
        sum(found.flipped or 0 for found in rows) if classified else None,
        sum(found.ties for found in rows) if classified else None,
    )


def inputs_like(
    example: NDArray[Any] | Sequence[NDArray[Any]], rows: int = 4096, seed: int = 0, batch: int = 512
) -> list[Arrays]:
    """Seeded inputs in the range of an example, in batches.

    Half of the rows put numbers together that the example holds (a tree's thresholds lie
    at or between such), and half are drawn from between its smallest and largest. Whole
    numbers, truths and words are only put together.
    """
    random = np.random.default_rng(seed)
    arrays = tuple(np.asarray(array) for array in (example if isinstance(example, (tuple, list)) else [example]))
    drawn = [_drawn(array, rows, random) for array in arrays]
    order = random.permutation(rows)
    return [tuple(array[order[at : at + batch]] for array in drawn) for at in range(0, rows, batch)]


@dataclass(frozen=True)
class _Rows:
    differences: NDArray[np.float64]
    flipped: int | None
    ties: int


def _compared(wanted: Arrays, given: Arrays) -> _Rows:
    """The outputs of one batch, each beside its counterpart."""
    differences = np.zeros(len(wanted[0]) if wanted[0].ndim else 1)
    scores = labels = None
    for original, answer in zip(wanted, given, strict=True):
        if original.shape != answer.shape and _squeezed(original) != _squeezed(answer):
            raise ValueError(f"the original answers with shape {original.shape}, the file with {answer.shape}")
        if original.dtype.kind == "f":
            pair = [array.astype(np.float64).reshape(len(differences), -1) for array in (original, answer)]
            differences = np.maximum(differences, np.abs(pair[0] - pair[1]).max(axis=1))
            if scores is None and pair[0].shape[1] > 1:
                scores = pair
        elif labels is None:
            labels = original.reshape(-1), answer.reshape(-1)
    if labels is None and scores is None:
        return _Rows(differences, None, 0)
    if labels is None:
        assert scores is not None
        flipped = scores[0].argmax(axis=1) != scores[1].argmax(axis=1)
    else:
        flipped = labels[0].astype(str) != labels[1].astype(str)
    ties = 0
    if scores is not None and len(flipped) == len(scores[0]):
        best_two = np.sort(scores[0][flipped], axis=1)[:, -2:]
        ties = int((best_two[:, 1] - best_two[:, 0] <= TIE).sum())
    return _Rows(differences, int(flipped.sum()), ties)


def _squeezed(array: NDArray[Any]) -> tuple[int, ...]:
    """(n,) and (n, 1) say the same."""
    return array.shape[:1] + tuple(size for size in array.shape[1:] if size != 1)


def _is_one(batches: Any) -> bool:
    """An array, a table or named arrays are one batch; a list or an iterator holds several."""
    return isinstance(batches, (np.ndarray, Mapping, Inputs)) or hasattr(batches, "columns")


def _as_tuple(answer: Any) -> Arrays:
    return tuple(np.asarray(array) for array in (answer if isinstance(answer, (tuple, list)) else (answer,)))


def _drawn(example: NDArray[Any], rows: int, random: np.random.Generator) -> NDArray[Any]:
    """Each place of a row on its own, from what the example holds at that place."""
    flat = example.reshape(len(example), -1)
    chosen = random.integers(len(flat), size=(rows, flat.shape[1]))
    drawn = flat[chosen, np.arange(flat.shape[1])]
    if example.dtype.kind == "f":
        half = rows // 2
        between = random.random((half, flat.shape[1]))
        drawn[:half] = flat.min(axis=0) + between * (flat.max(axis=0) - flat.min(axis=0))
    return drawn.reshape(rows, *example.shape[1:])
