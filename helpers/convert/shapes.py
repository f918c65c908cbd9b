"""Which axes of a file may have any size, and what they are called."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from helpers.convert.errors import ConversionError
from helpers.convert.inputs import Arrays, Inputs

Lengths = dict[int, dict[int, str]]  # input → axis → name, beyond the batch
Shape = tuple[int | str, ...]


def read_axes(dynamic_axes: Any, inputs: Inputs) -> Lengths:
    """The caller's axes by the place of the input, without the batch, which is always dynamic."""
    if not dynamic_axes:
        return {}
    if isinstance(dynamic_axes, Mapping):
        entries = {_place(key, inputs): axes for key, axes in dynamic_axes.items()}
    elif isinstance(dynamic_axes, Sequence) and not isinstance(dynamic_axes, str):
        entries = dict(enumerate(dynamic_axes))
    else:
        raise _refusal(f"dynamic_axes is a {type(dynamic_axes).__name__}")
    found: Lengths = {}
    for place, axes in entries.items():
        if place >= len(inputs):
            raise _refusal(f"dynamic_axes names {place + 1} inputs, the example has {len(inputs)}")
        for axis, name in dict(axes).items():
            size = inputs[place].ndim
            if not isinstance(axis, int) or not isinstance(name, str) or not -size <= axis < size:
                raise _refusal(f"dynamic_axes has the axis {axis!r}: {name!r} for an input of {size} axes")
            if axis % size:
                found.setdefault(place, {})[axis % size] = name
    return found


def output_shapes(
    name: str, answer: Callable[[Inputs], Arrays], two: Inputs, answers: Arrays, lengths: Lengths
) -> list[Shape]:
    """The shape of each output: an axis that changes with the batch or with a length has its name."""
    if any(one.dtype.kind == "c" for one in answers):
        raise ConversionError(
            f"{name} answers with complex numbers, which an ONNX file cannot give.",
            "return the real and the imaginary part, such as with torch.view_as_real.",
        )
    changes: dict[str, tuple[Inputs, int, int]] = {"batch": (two.resized(3), 2, 3)}
    for place, axes in lengths.items():
        for axis, called in axes.items():
            before = two[place].shape[axis]
            changes.setdefault(called, (_longer(two, lengths, called), before, before + 1))
    shapes: list[list[int | str]] = [list(one.shape) for one in answers]
    for shape, one, other in zip(shapes, answers, _of_other_numbers(answer, two) or answers, strict=False):
        for axis, (size, now) in enumerate(zip(one.shape, other.shape, strict=False)):
            if size != now:  # such as the count of what was found
                shape[axis] = f"count_{axis}"
    for called, (inputs, before, after) in changes.items():
        try:
            others = answer(inputs)
        except Exception as error:  # the model's own
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise ConversionError(
                f"{name} answers where {called} is {before}, and not where it is {after}: {said}",
                "write the model without a size that is fixed in its code"
                + ("." if called == "batch" else f", or leave {called!r} out of dynamic_axes."),
            ) from error
        if [one.ndim for one in others] != [one.ndim for one in answers]:
            raise ConversionError(
                f"{name} answers with other axes where {called} is {after}.",
                "return tensors with a fixed number of axes.",
            )
        for shape, one, other in zip(shapes, answers, others, strict=True):
            for axis, (small, large) in enumerate(zip(one.shape, other.shape, strict=True)):
                if small != large:
                    exact = (small, large) == (before, after)
                    shape[axis] = called if exact and isinstance(shape[axis], int) else f"{called}_{axis}"
    return [tuple(shape) for shape in shapes]


def _of_other_numbers(answer: Callable[[Inputs], Arrays], two: Inputs) -> Arrays | None:
    """The answer to rows of zeros, or None where there is none."""
    try:
        return answer(two.map(lambda array: array if array.dtype.kind == "O" else np.zeros_like(array)))
    except Exception:  # the model's own
        return None


def _longer(inputs: Inputs, lengths: Lengths, called: str) -> Inputs:
    """The axes of one name with one place more."""
    made = list(inputs)
    for place, axes in lengths.items():
        for axis, name in axes.items():
            if name == called:
                size = made[place].shape[axis]
                made[place] = np.take(made[place], np.arange(size + 1) % size, axis)
    return inputs.replace(made)


def _place(key: Any, inputs: Inputs) -> int:
    names = list(inputs.names)
    if key in names:
        return names.index(key)
    if isinstance(key, int) and 0 <= key < len(inputs):
        return key
    if isinstance(key, str) and not names and len(inputs) == 1:
        return 0
    raise _refusal(f"dynamic_axes names the input {key!r}; the example has {', '.join(names) or len(inputs)}")


def _refusal(what: str) -> ConversionError:
    return ConversionError(
        f"{what}.", 'pass a dictionary for each input, such as [{1: "length"}] or {"images": {2: "height"}}.', 2
    )
