"""Rows on which a converted file is likely to differ from its model, made from an example.

An exporter that is wrong is rarely wrong everywhere: it loses what happens to a missing number, a
negative one, a tie, a number at a threshold, or another number of rows. Each ``Probe`` asks about
one of these.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.clues import Clues
from helpers.convert.inputs import Inputs
from helpers.convert.shapes import Lengths

MOST_ROWS = 64  # of the example
MOST_NUMBERS = 2**18  # of one probe, but for a few rows: a model of large images is slow
FEWEST_ROWS = 3
MOST_COLUMNS = 48  # that are tried one by one
MOST_CONSTANTS = 64  # of the file, tried as inputs
UNSUPPORTED = "this converter does not support the model as it is: replace the step or the layer that differs"
MISSING = "rows with missing numbers"
TIES = ("rows of one number each", "halves", "rows of one of the file's numbers each")
PADDING = (
    "the model's own answers at masked places hang on a fast path of its framework: in torch, build TransformerEncoder "
    "with enable_nested_tensor=False, or do not return these places"
)
BATCH_SIZES = (1, 3, 7, 33, 130)
WORDS = ("", "Zürich ÉCOLE naïve", "ＡＢ 12-34 a_b", "x", "The the THE quick, brown; fox's 3.5", "\tnew\nline  two")


@dataclass(frozen=True)
class Probe:
    """Inputs of one kind. ``exact``: rounding in the input is no excuse for another answer.

    ``optional`` probes ask what a model may not define: they count only where its answer is finite,
    and with ``numbers_only`` only for outputs that are numbers with a fraction.
    """

    what: str
    inputs: Inputs
    remedy: str = ""
    exact: bool = False
    optional: bool = False
    numbers_only: bool = False


def all_probes(inputs: Inputs, lengths: Lengths, clues: Clues, missing_is_defined: bool) -> Iterator[Probe]:
    """The probes for any framework, and those for trees.

    A network passes a missing number on, each operator in its own way: it counts only where the
    network makes a number of it, and labels only where the file asks for missing numbers.
    """
    for probe in probes(inputs, lengths, clues):
        if probe.what in TIES and clues.picks_among_ties and not missing_is_defined:
            continue
        if probe.what != MISSING:
            yield probe
        elif missing_is_defined or clues.asks_for_missing:
            yield dataclasses.replace(probe, optional=not missing_is_defined)
        elif not clues.picks_among_ties:
            yield dataclasses.replace(probe, numbers_only=True)
    if missing_is_defined:
        far = _each(inputs.resized(rows_within(inputs)), "f", lambda array: array * 100)
        remedy = "probabilities saturate in the file where the model still compares scores: scale the input"
        yield Probe("a hundred times the numbers", far, remedy, optional=True)
    trees = at_thresholds(inputs, clues.thresholds)
    if trees is not None:
        yield trees


def probes(inputs: Inputs, lengths: Lengths, clues: Clues) -> Iterator[Probe]:
    """The probes that make sense for any framework."""
    draw = np.random.default_rng(0)
    most = rows_within(inputs)
    some = inputs.first(most)
    mixed = recombined(some, 2 * most, draw)
    yield Probe("two rows of the example", some.resized(2), UNSUPPORTED)
    batch = "the answers depend on the number of rows: write the model without len(), view or split by fixed sizes"
    for size in BATCH_SIZES:
        if size <= max(mixed.rows, 7):
            yield Probe(f"a batch of {size}", some.first(2).resized(size), batch)
    yield Probe("the example", some, UNSUPPORTED)
    yield Probe("rows recombined from the example", mixed, UNSUPPORTED)
    yield from _dynamic(mixed, lengths)
    kinds = {array.dtype.kind for array in inputs}
    if "f" in kinds:
        yield from _floats(mixed, draw)
        yield from _constants(mixed, clues.constants)
    if kinds & set("iu"):
        yield from _whole_numbers(mixed)
        if clues.rounds_whole_numbers:
            yield _large(mixed)
    if "b" in kinds:
        yield from _truths(mixed)
    if "O" in kinds:
        yield from _text(mixed)


def rows_within(inputs: Inputs) -> int:
    """As many rows as keep a probe cheap."""
    numbers = sum(int(np.prod(array.shape[1:])) for array in inputs)
    return max(FEWEST_ROWS, min(MOST_ROWS, MOST_NUMBERS // max(numbers, 1)))


def recombined(inputs: Inputs, rows: int, draw: np.random.Generator) -> Inputs:
    """Rows put together from the values that the example has at each place; the first are its own."""

    def shuffle(array: NDArray[Any]) -> NDArray[Any]:
        flat = array.reshape(len(array), -1)
        chosen = draw.integers(len(flat), size=(rows, flat.shape[1]))
        made = flat[chosen, np.arange(flat.shape[1])].reshape(rows, *array.shape[1:])
        made[: len(array)] = array[:rows]
        return made

    return inputs.map(shuffle)


def _dynamic(mixed: Inputs, lengths: Lengths) -> Iterator[Probe]:
    """Other sizes on the axes that are to be dynamic."""
    names = {name for axes in lengths.values() for name in axes.values()}
    for factor, more in ((1, 1), (2, 0), (1, -1), (0, 1), (3, 2)) if names else ():
        made = list(mixed.first(3))
        for place, axes in lengths.items():
            for axis in axes:
                size = max(1, made[place].shape[axis] * factor + more)
                made[place] = np.take(made[place], np.arange(size) % made[place].shape[axis], axis)
        yield Probe(
            f"another size of {' and '.join(sorted(names))}",
            mixed.replace(made),
            "the model's code depends on this size: leave the axis out of dynamic_axes, or write the code without it",
        )


def _floats(mixed: Inputs, draw: np.random.Generator) -> Iterator[Probe]:
    def noisy(array: NDArray[Any]) -> NDArray[Any]:
        spread = float(np.nanstd(array)) or float(np.nanmax(np.abs(array), initial=0)) or 1.0
        return (array + draw.normal(size=array.shape) * spread).astype(array.dtype)

    sign = "write the model's steps so that they hold for negative numbers too"
    yield Probe("rows with noise", _each(mixed, "f", noisy))
    yield Probe("the signs turned around", _each(mixed, "f", np.negative), sign)
    yield Probe("ten times the numbers", _each(mixed, "f", lambda array: array * 10))
    tie = "the model's answer hangs on a tie or on a number at a threshold, which the converter decides otherwise"
    size = min(16, mixed.rows)
    few = mixed.first(size)
    levels = np.array([0, 1, -1, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 2, -2, 3, -3, 3.5, 10, 0.25])[:size]
    yield Probe(TIES[0], _each(few, "f", lambda array: _filled(array, levels)), tie, exact=True)
    yield Probe(TIES[1], _each(mixed, "f", lambda array: np.round(array * 2) / 2), tie, exact=True)
    yield from _missing(few)


def _missing(few: Inputs) -> Iterator[Probe]:
    """A missing number in each column, and rows in which all are missing."""
    remedy = "the converter loses what the model does with missing values: fill them before the model"
    for place, array in enumerate(few):
        if array.dtype.kind != "f":
            continue
        columns = int(np.prod(array.shape[1:], dtype=int))
        chosen = np.unique(np.linspace(0, columns - 1, min(columns, MOST_COLUMNS)).astype(int))
        count = len(chosen) + 1
        repeated = few.resized(count)
        flat = repeated[place].reshape(count, -1).copy()
        flat[np.arange(len(chosen)), chosen] = np.nan
        flat[-1] = np.nan
        made = list(repeated)
        made[place] = flat.reshape(repeated[place].shape)
        yield Probe(MISSING, few.replace(made), remedy, exact=True, optional=True)


def _constants(mixed: Inputs, constants: Sequence[float]) -> Iterator[Probe]:
    """Numbers that stand in the file, as inputs: it may compare with them."""
    constants = constants[: min(MOST_CONSTANTS, rows_within(mixed))]
    if not constants:
        return
    remedy = "a number of float32 falls on another side of one of the model's limits: pass a float64 example"

    def at(array: NDArray[Any]) -> NDArray[Any]:
        values = np.array(constants).astype(array.dtype)
        around = np.concatenate([values, np.nextafter(values, np.inf), np.nextafter(values, -np.inf)])
        return _filled(np.resize(array, (len(around), *array.shape[1:])), around)

    size = 3 * len(constants)
    made = [at(one) if one.dtype.kind == "f" else np.resize(one, (size, *one.shape[1:])) for one in mixed]
    yield Probe(TIES[2], mixed.replace(made), remedy, exact=True)


def _truths(mixed: Inputs) -> Iterator[Probe]:
    """Also as masks are: the same up to a place in the row, and the opposite after it."""
    yield Probe("truths turned around", _each(mixed, "b", np.logical_not))
    few = mixed.first(7)
    for first in (True, False):
        masks = _each(few, "b", lambda array, first=first: np.logical_xor(_after(array), first))
        yield Probe("rows with a mask at the end", masks, PADDING)


def _after(array: NDArray[Any]) -> NDArray[Any]:
    """True behind a place that is another one in each row; the first row has none."""
    size = array.shape[-1] if array.ndim > 1 else 1
    ends = size - np.arange(len(array)) % size
    return np.broadcast_to(np.arange(size) >= ends.reshape(-1, *[1] * (array.ndim - 1)), array.shape)


def _whole_numbers(mixed: Inputs) -> Iterator[Probe]:
    remedy = "the converter computes otherwise with such whole numbers: compute with floats in the model"
    yield Probe("negative whole numbers", _each(mixed, "i", np.negative), remedy, optional=True)
    yield Probe("whole numbers less 1", _each(mixed, "iu", lambda array: array - (array > array.min())), remedy)
    few = mixed.first(7)
    padded = _each(few, "iu", lambda array: np.where(_after(array), 0, array) if array.ndim > 1 else array)
    yield Probe("rows with zeros at the end", padded, PADDING)
    yield Probe("zeros", _each(mixed, "iu", np.zeros_like), remedy)
    yield Probe("whole numbers that are new", _each(mixed, "iu", lambda array: array + array.max() + 1), remedy)


def _large(mixed: Inputs) -> Probe:
    """Only where they become float32: a model may make a table of as many columns as a number says."""

    def above(array: NDArray[Any]) -> NDArray[Any]:
        return array if array.dtype.itemsize < 4 else 2**24 + 1 + 2 * (array % 2 == 0).astype(array.dtype)

    return Probe(
        "whole numbers above 2^24",
        _each(mixed.first(7), "iu", above),
        "the file turns them into float32, which holds whole numbers up to 2^24: turn them into float64 in the model",
        optional=True,
    )


def _text(mixed: Inputs) -> Iterator[Probe]:
    remedy = "the converter splits or compares such text otherwise: prepare the text before the model"

    def words(array: NDArray[Any]) -> NDArray[Any]:
        made = array.copy().reshape(-1)
        for place in range(0, len(made), 2):
            made[place] = WORDS[(place // 2) % len(WORDS)]
        return made.reshape(array.shape)

    def joined(array: NDArray[Any]) -> NDArray[Any]:
        return np.array(
            [f"{one} {other}" for one, other in zip(array.flat, np.roll(array, 1).flat, strict=True)], object
        ).reshape(array.shape)

    yield Probe("new text", _each(mixed, "O", words), remedy)
    yield Probe("text in capitals", _each(mixed, "O", lambda array: _mapped(array, str.upper)), remedy)
    yield Probe("text joined", _each(mixed, "O", joined), remedy)
    yield Probe("text with accents", _each(mixed, "O", lambda array: _mapped(array, _accented)), remedy)


def _accented(text: str) -> str:
    return text.translate(str.maketrans("aeiouAEIOUn", "áéîöúÁÉÎÖÚñ"))


def _mapped(array: NDArray[Any], change: Any) -> NDArray[Any]:
    return np.array([change(str(text)) for text in array.flat], object).reshape(array.shape)


def _each(inputs: Inputs, kinds: str, change: Any) -> Inputs:
    """Change the inputs of some kinds of numbers; their type stays."""
    return inputs.map(lambda array: change(array).astype(array.dtype) if array.dtype.kind in kinds else array)


def _filled(array: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Each row holds one number."""
    return np.broadcast_to(values.reshape(-1, *[1] * (array.ndim - 1)), array.shape).astype(array.dtype)


def at_thresholds(inputs: Inputs, limits: dict[int, list[float]], most: int = 400) -> Probe | None:
    """Rows of the example with one number at, just above or just below a threshold."""
    pairs = [(feature, value) for feature, values in limits.items() for value in values]
    if not pairs or len(inputs) != 1 or inputs[0].ndim != 2 or inputs[0].dtype.kind != "f":
        return None
    chosen = [pairs[place] for place in np.unique(np.linspace(0, len(pairs) - 1, most // 3).astype(int))]
    rows = np.resize(inputs[0][:MOST_ROWS], (3 * len(chosen), inputs[0].shape[1])).copy()
    for place, (feature, value) in enumerate(chosen):
        if feature >= rows.shape[1]:
            continue
        near = np.float32(value)
        rows[3 * place : 3 * place + 3, feature] = (
            near,
            np.nextafter(near, np.float32(np.inf)),
            np.nextafter(near, np.float32(-np.inf)),
        )
    return Probe(
        "numbers at and beside the thresholds of the trees",
        inputs.replace([rows]),
        "the converter rounds the thresholds of the trees to float32: train on float32 numbers, or convert another way",
        exact=True,
    )
