"""No file leaves a conversion unless it answers as its model does.

The model and the file are asked the same probes. Numbers may differ by ``TOLERANCE`` times the
largest number of the output, or times 1; labels may differ where the model itself scores the two
alike. Where rounding in the input alone moves the model's own answer as far, the difference is
rounding: the input is nudged by a few of float32's last digits to see that.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.errors import ConversionError
from helpers.convert.inputs import Arrays, Inputs
from helpers.convert.probing import UNSUPPORTED, Probe
from helpers.errors import UserError
from helpers.runtime import Options, Session

TOLERANCE = 1e-4
HALF_TOLERANCE = 4e-3  # where either computes with 16 bits
TIE = 1e-6  # scores that are closer than this are a tie
NUDGE = 2e-6  # relative; float32's last digit is 1.2e-7
NUDGES = 6
MOST_MARGINAL = 0.01  # of the rows that are not chosen to be exact

Answer = Callable[[Inputs], Arrays]


@dataclass(frozen=True)
class Original:
    """The model that a file was made from: what it answers, and the scores that decide on its labels."""

    name: str
    answer: Answer
    scores: Callable[[Inputs], Any] = lambda inputs: None
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Difference:
    """Where a file's answer departs from its model's."""

    output: str
    rows: Any  # a truth for each
    largest: float
    row: int
    model: Any
    file: Any


Sizes = set[tuple[str, int]]  # outputs and axes


def verify(path: Path, original: Original, probes: Iterable[Probe]) -> Sizes:
    """Raise ConversionError at the first probe on which the file answers otherwise.

    Return the axes whose size turned out to be another one than the file declares.
    """
    session = open_session(path)
    others: Sizes = set()
    for probe in probes:
        expected = _answered(original.answer, probe)
        if expected is not None:
            others |= _compare(session, original, probe, expected)
    return others


def open_session(path: Path) -> Session:
    """The file as a server would load it."""
    try:
        return Session(path, options=Options(threads=1))
    except UserError as error:
        raise ConversionError(
            f"The converter wrote a file that does not load: {error.sentence}", error.remedy
        ) from error


def as_feeds(session: Session, inputs: Inputs) -> Arrays:
    """The inputs in the types that the file takes."""
    given = [
        array.astype(spec.dtype) if spec.dtype is not None and array.dtype != spec.dtype else array
        for array, spec in zip(inputs, session.inputs, strict=False)
    ]
    return (*given, *inputs[len(session.inputs) :])


def as_taken(session: Session, inputs: Inputs) -> Inputs:
    """The same numbers for the model: what the file cannot hold must not count as its error."""
    return inputs.replace(
        [
            array.astype(spec.dtype).astype(array.dtype)
            if array.dtype.kind == "f" and spec.dtype is not None
            else array
            for array, spec in zip(inputs, session.inputs, strict=False)
        ]
    )


def _answered(answer: Answer, probe: Probe) -> Arrays | None:
    """None where the model does not take such inputs."""
    try:
        return answer(probe.inputs)
    except Exception:  # whatever the model's own code raises
        return None


def _compare(session: Session, original: Original, probe: Probe, expected: Arrays) -> Sizes:
    name, answer = original.name, original.answer
    inputs = as_taken(session, probe.inputs)
    if any(
        not np.array_equal(one, other)
        for one, other in zip(inputs, probe.inputs, strict=False)
        if one.dtype.kind == "f"
    ):
        expected = _answered(answer, Probe(probe.what, inputs)) or expected
    try:
        given = session.runtime.run(
            [spec.name for spec in session.outputs],
            dict(zip([spec.name for spec in session.inputs], as_feeds(session, inputs), strict=True)),
        )
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        if probe.optional and not all(_is_finite(one) for one in expected):
            return set()
        said = str(error).strip().splitlines()[0][:200]
        raise ConversionError(
            f"{name} answers {probe.what}, and its file does not: {said}", f"{probe.remedy}."
        ) from error
    if probe.numbers_only:
        kept = [place for place, one in enumerate(expected) if one.dtype.kind == "f" and place < len(given)]
        expected, given = tuple(expected[place] for place in kept), [given[place] for place in kept]
    else:
        kept = list(range(len(given)))
    names = [session.outputs[place].name for place in kept]
    tied = _ties(expected, original.scores(inputs))
    compare = partial(differences, names=names, tolerance=original.tolerance)
    found = compare(expected, given, tied=tied, finite_only=probe.optional)
    if found is not None and not probe.exact:
        found = _beyond_rounding(found, expected, given, compare, inputs, answer)
    if found is not None:
        raise _refusal(original, probe, found)
    return {
        (spec.name, axis)
        for spec, array in zip([session.outputs[place] for place in kept], given, strict=True)
        for axis, (declared, size) in enumerate(zip(spec.shape, array.shape, strict=False))
        if size != {"batch": inputs.rows}.get(str(declared), declared if isinstance(declared, int) else size)
    }


def _refusal(original: Original, probe: Probe, found: Difference) -> ConversionError:
    count, differing = len(found.rows), int(found.rows.sum())
    return ConversionError(
        f"The file does not answer as {original.name} does: of {count} rows ({probe.what}), {differing} differ in "
        f"{found.output!r}, by up to {found.largest:.2g} ({original.tolerance:g} of the largest number is allowed). "
        f"For row {found.row} the model answers {_short(found.model)}, the file {_short(found.file)}.",
        f"{probe.remedy or UNSUPPORTED}. With tolerance= more is allowed; verify=False checks nothing.",
    )


def differences(
    expected: Arrays,
    given: Arrays,
    names: list[str],
    tolerance: float = TOLERANCE,
    tied: Any = None,
    finite_only: bool = False,
) -> Difference | None:
    """The first output that differs, row by row; None if all agree. Labels of rows that are ``tied`` may differ."""
    if len(expected) != len(given):
        raise ConversionError(
            f"The model answers with {len(expected)} outputs, the file with {len(given)} ({', '.join(names)}).",
            "report the model: this converter does not support it.",
        )
    for name, one, other in zip(names, expected, given, strict=True):
        found = _difference(name, np.asarray(one), np.asarray(other), tolerance, tied, finite_only)
        if found is not None:
            return found
    return None


def _difference(
    name: str, model: NDArray[Any], file: NDArray[Any], tolerance: float, tied: Any, finite_only: bool
) -> Difference | None:
    if _shape(model) != _shape(file):
        shape = np.ones(max(len(model) if model.ndim else 1, 1), bool)
        return Difference(f"the shape of {name}", shape, np.inf, 0, model.shape, file.shape)
    if _kind(model) != _kind(file):
        raise ConversionError(
            f"The output {name!r} of the file is {file.dtype}, the model answers with {model.dtype}.",
            "give the model labels or outputs of a type that the file can hold.",
        )
    count = len(model) if model.ndim else 1
    if not model.size:
        return None
    model, file = model.reshape(count, -1), file.reshape(count, -1)
    if _kind(model) == "number":
        with np.errstate(invalid="ignore", over="ignore"):
            one, other = model.astype(np.float64), file.astype(np.float64)
            finite = np.abs(one[np.isfinite(one)])
            scale = max(1.0, float(finite.max(initial=0)))
            apart = np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0, np.abs(one - other))
        apart = np.where(np.isnan(apart), np.inf, apart)
        if finite_only:
            apart = np.where(np.isfinite(one).all(axis=1, keepdims=True), apart, 0)
        if min(model.dtype.itemsize, file.dtype.itemsize) <= 2:
            tolerance = max(tolerance, HALF_TOLERANCE)
        rows = (apart > tolerance * scale).any(axis=1)
        largest = float(apart.max())
    else:
        rows = (_plain(model) != _plain(file)).any(axis=1)
        if tied is not None and len(tied) == count:
            rows &= ~tied
        largest = (
            1.0 if _kind(model) == "text" else float(np.abs(model.astype(np.float64) - file.astype(np.float64)).max())
        )
    if not rows.any():
        return None
    row = int(rows.argmax())
    return Difference(name, rows, largest, row, model[row], file[row])


def _beyond_rounding(
    found: Difference, expected: Arrays, given: Arrays, compare: Any, inputs: Inputs, answer: Answer
) -> Difference | None:
    """None if the model itself answers as far apart when its input changes in the last digits.

    That is rounding where all answers move a little. Where they jump, as behind a rounding step, few
    rows may do so: many that lie so near to a limit would be no chance.
    """
    draw = np.random.default_rng(0)

    def nudge(array: NDArray[Any]) -> NDArray[Any]:
        if array.dtype.kind != "f":
            return array
        return (array * (1 + NUDGE * draw.choice([-1, 1], array.shape))).astype(array.dtype)

    answers = [expected, *(_answered(answer, Probe("nudged", inputs.map(nudge))) for _ in range(NUDGES))]
    reached = [
        _nearest([np.asarray(one[place]) for one in answers if one is not None], np.asarray(file))
        for place, file in enumerate(given)
    ]
    if compare(tuple(reached), given) is not None:
        return found
    return found if found.largest > 0.01 and found.rows.mean() > MOST_MARGINAL else None


def _nearest(answers: list[NDArray[Any]], file: NDArray[Any]) -> Any:
    """What comes nearest to the file's output, in the range of the answers and somewhat beyond it."""
    first = answers[0]
    if any(one.shape != first.shape for one in answers) or first.size != file.size:
        return first
    file = file.reshape(first.shape)
    if _kind(first) != "number":
        same = np.any([_plain(one) == _plain(file) for one in answers], axis=0)
        return np.where(same, file, first)
    low, high = np.min(answers, axis=0), np.max(answers, axis=0)
    return np.clip(file, low - 3 * (high - low), high + 3 * (high - low))


def _ties(expected: Arrays, scores: Any = None) -> NDArray[np.bool_] | None:
    """The rows for which the model scores its best two alike; None where nothing is classified."""
    if not any(_kind(one) != "number" for one in expected):
        return None
    if scores is None:
        scores = next((one for one in expected if one.dtype.kind == "f" and one.ndim == 2 and one.shape[1] > 1), None)
    if scores is None:
        return None
    if scores.ndim == 1:  # of two classes: the sign decides
        scores = np.stack([-scores, scores], axis=1)
    best = np.sort(scores, axis=1)[:, -2:]
    with np.errstate(invalid="ignore"):
        return np.asarray(best[:, 1] - best[:, 0] <= TIE)


def _is_finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _shape(array: NDArray[Any]) -> tuple[int, ...]:
    """(n,) and (n, 1) say the same."""
    return array.shape[:1] + tuple(size for size in array.shape[1:] if size != 1)


def _kind(array: NDArray[Any]) -> str:
    """A whole number may be a label or a count: either way it has to be the same."""
    if array.dtype.kind in "OUS":
        return "text"
    return {"f": "number", "c": "complex"}.get(array.dtype.kind, "truth" if array.dtype.kind == "b" else "whole")


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(str) if array.dtype.kind in "OUS" else array


def _short(values: Any) -> str:
    array = np.asarray(values).reshape(-1)
    text = np.array2string(array[:6], precision=5, separator=", ")
    return text if len(array) <= 6 else f"{text[:-1]}, …]"
