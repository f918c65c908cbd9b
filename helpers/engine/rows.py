"""Values with rows, put together for a batch and cut up again: arrays, lists, and named columns of either."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from helpers.wire.errors import EngineError


def count_rows(value: Any) -> int:
    """How many rows a value has; a table has as many as its columns."""
    return len(next(iter(value.values()))) if isinstance(value, Mapping) else len(value)


def joined(parts: Sequence[Any]) -> Any:
    """The rows of all parts, one after the other."""
    first = parts[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    if isinstance(first, Mapping):
        return {name: joined([part[name] for part in parts]) for name in first}
    return [row for part in parts for row in part]


def cut(answer: Any, counts: Sequence[int]) -> list[Any]:
    """The answer to a batch as one answer for each request. Of a tuple or a mapping, each value is cut."""
    if isinstance(answer, tuple) and answer:
        return list(zip(*(cut(each, counts) for each in answer), strict=True))
    if isinstance(answer, Mapping) and answer:
        by_name = zip(*(cut(each, counts) for each in answer.values()), strict=True)
        return [dict(zip(answer, own, strict=True)) for own in by_name]
    ends = list(accumulate(counts))
    has_rows = answer.ndim > 0 if isinstance(answer, np.ndarray) else isinstance(answer, list)
    if not has_rows or len(answer) != ends[-1]:
        raise EngineError("internal", "the model did not answer each row; it must not be batched")
    return [answer[end - count : end] for count, end in zip(counts, ends, strict=True)]
