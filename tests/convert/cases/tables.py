"""Small seeded tables, and rows on which a converted model is likely to differ from the original."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 80


def draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


NUMBERS = draw(0).normal(size=(ROWS, 4)).astype(np.float32)
POSITIVE = np.abs(NUMBERS) + np.float32(0.1)
WHOLE = draw(5).integers(0, 5, (ROWS, 4)).astype(np.float32)  # many ties
ZEROS = np.where(draw(11).random(NUMBERS.shape) < 0.4, 0, NUMBERS).astype(np.float32)
MISSING = np.where(draw(9).random(NUMBERS.shape) < 0.2, np.nan, NUMBERS).astype(np.float32)
CATEGORIES = np.column_stack(
    [draw(3).integers(0, 6, ROWS), NUMBERS[:, 1], draw(6).integers(0, 4, ROWS), NUMBERS[:, 3]]
).astype(np.float32)

TWO = (NUMBERS[:, 0] + 0.5 * NUMBERS[:, 1] ** 2 > 0.3).astype(int)
THREE = np.digitize(NUMBERS[:, 0] + NUMBERS[:, 2], [-0.6, 0.7])
NAMES = np.array(["ant", "Bee", "éclair"])[THREE]
YES_NO = np.array(["no", "yes"])[TWO]
TARGET = 3 * NUMBERS[:, 0] - NUMBERS[:, 1] ** 2 + np.sin(3 * NUMBERS[:, 2])
COUNTS = np.exp(0.5 * NUMBERS[:, 0] + 0.2 * NUMBERS[:, 1]).round()
AMOUNTS = np.exp(0.6 * NUMBERS[:, 0] - 0.3 * NUMBERS[:, 2])
BY_CATEGORY = np.array([3, -2, 7, 0, 5, -6])[CATEGORIES[:, 0].astype(int)] + 2 * CATEGORIES[:, 1]
TWO_TARGETS = np.stack([TARGET, NUMBERS[:, 1] * 2 + 100], axis=1)
TWO_LABELS = np.stack([TWO, THREE], axis=1)
THREE_TRUTHS = np.stack([TWO, NUMBERS[:, 1] > 0.5, NUMBERS[:, 2] + NUMBERS[:, 3] > 0], axis=1).astype(int)
RELEVANCE = draw(1).integers(0, 4, ROWS)
QUERIES = np.repeat(np.arange(8), 10)


def held_out(table: NDArray[Any], model: Any = None, missing: bool = False) -> list[NDArray[Any]]:
    """New rows in one batch, and batches of 1, 3 and 7 of them."""
    rows = new_rows(table)
    parts = [rows]
    if missing:
        gaps = rows[:24].copy()
        gaps[draw(8).random(gaps.shape) < 0.3] = np.nan
        gaps[0] = np.nan
        parts.append(gaps)
    limits = list(thresholds(model))
    if limits:
        parts.append(around(np.nan_to_num(rows), limits))
    everything = np.concatenate(parts)
    return [everything, rows[:1], rows[1:4], rows[5:12]]


def new_rows(table: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers are recombined; others are drawn, with both signs, zeros and halves."""
    generator = draw(1234)
    if np.array_equal(table, np.round(table), equal_nan=True):
        return table[generator.integers(len(table), size=(40, table.shape[1])), np.arange(table.shape[1])]
    low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
    drawn = low + (high - low) * generator.random((40, table.shape[1]))
    if (low >= 0).all():
        return drawn.astype(table.dtype)
    halves = np.round(drawn[:10] * 2) / 2
    zeros = np.where(generator.random((10, table.shape[1])) < 0.5, 0, drawn[10:20])
    return np.concatenate([drawn, -np.abs(drawn[:6]), halves, zeros, np.zeros_like(drawn[:1])]).astype(table.dtype)


def around(rows: NDArray[Any], limits: list[tuple[int, float]], most: int = 60) -> NDArray[Any]:
    """One number of each row lies at a threshold, just below it or just above it."""
    made = []
    for place, (column, limit) in enumerate(limits[:: max(1, len(limits) // most)]):
        near = np.float32(limit)
        for value in (near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))):
            row = rows[place % len(rows)].copy()
            row[column] = value
            made.append(row)
    return np.array(made, rows.dtype)


def thresholds(model: Any) -> Iterator[tuple[int, float]]:
    """The column and the number of each split that a library's public interface shows."""
    if hasattr(model, "tree_"):
        pairs = zip(model.tree_.feature, model.tree_.threshold, strict=True)
        yield from ((column, limit) for column, limit in pairs if column >= 0 and np.isfinite(limit))
    for inner in np.ravel(np.asarray(getattr(model, "estimators_", []), dtype=object)):
        if hasattr(inner, "tree_"):
            yield from thresholds(inner)
    booster = model.get_booster() if hasattr(model, "get_booster") else getattr(model, "booster_", model)
    if not hasattr(booster, "trees_to_dataframe"):
        return
    try:
        frame = booster.trees_to_dataframe()
    except Exception:  # XGBoost has no such table of its linear models, and of some trees
        return
    if "Split" in frame:  # XGBoost
        names = booster.feature_names or [f"f{column}" for column in range(booster.num_features())]
        pairs = zip(frame["Feature"], frame["Split"], strict=True)
        yield from ((names.index(name), limit) for name, limit in pairs if name in names and np.isfinite(limit))
    else:
        names = booster.feature_name()
        splits = frame[frame["decision_type"] == "<="]
        pairs = zip(splits["split_feature"], splits["threshold"], strict=True)
        yield from ((names.index(name), float(limit)) for name, limit in pairs if abs(float(limit)) > 1e-30)
