"""Does the exported file answer as the original does?"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Parity:
    """How far two models' answers are apart, over ``rows`` inputs.

    ``differences`` holds the largest difference of each row; ``flipped`` counts the
    rows for which the two name another class.
    """

    differences: NDArray[np.float64]
    flipped: int

    @property
    def rows(self) -> int:
        return len(self.differences)

    @property
    def largest(self) -> float:
        return float(self.differences.max())

    def __str__(self) -> str:
        return f"{self.rows} inputs: largest difference {self.largest:.1e}, {self.flipped} labels flipped"


def parity(
    original: Callable[[NDArray[Any]], NDArray[Any]], path: Path | str, batches: Iterable[NDArray[Any]]
) -> Parity:
    """Compare a model with the ONNX file made from it, on the same inputs.

    ``original`` takes and returns numpy arrays with the batch first, and so does the
    file's first output.
    """
    from helpers.runtime import Session

    session = Session(path)
    differences, flipped = [], 0
    for batch in batches:
        wanted = np.asarray(original(batch), dtype=np.float64)
        answer = session(batch)
        given = np.asarray(answer[0] if isinstance(answer, tuple) else answer, dtype=np.float64)
        if wanted.shape != given.shape:
            raise ValueError(f"the original answers with shape {wanted.shape}, the file with {given.shape}")
        rows = wanted.reshape(len(wanted), -1), given.reshape(len(given), -1)
        differences.append(np.abs(rows[0] - rows[1]).max(axis=1))
        flipped += int((rows[0].argmax(axis=1) != rows[1].argmax(axis=1)).sum())
    return Parity(np.concatenate(differences), flipped)
