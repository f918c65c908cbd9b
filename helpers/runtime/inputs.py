"""What a model takes, and whether a given array is that.

The check runs before every call, so it costs well under a microsecond when all is
well; only a refusal takes the time to explain itself.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(string)": np.dtype(object),
}
DTYPES |= {f"tensor({kind}{bits})": np.dtype(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)}

Shape = tuple[int | str, ...]


class InputError(ValueError):
    """An input that the model does not take: which one, what was expected, what was given."""

    def __init__(self, name: str, expected: str, given: str) -> None:
        super().__init__(name, expected, given)
        self.name = name
        self.expected = expected
        self.given = given

    def __str__(self) -> str:
        if not self.name:
            return f"{self.given} were given; the model takes {self.expected}"
        return f"the input {self.name!r} is {self.given}; the model takes {self.expected}"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: an axis is a number if it is fixed, and a name if it is dynamic.

    ``dtype`` is None for what is no tensor, such as the list of dictionaries that some
    converted classifiers return. ``takes_missing`` tells that NaN stands for a missing
    value, which JSON writes as null.
    """

    name: str
    dtype: np.dtype[Any] | None
    shape: Shape
    takes_missing: bool = False

    @cached_property
    def fixed(self) -> tuple[tuple[int, int], ...]:
        """The axes whose size is fixed, and that size."""
        return tuple((axis, size) for axis, size in enumerate(self.shape) if isinstance(size, int))

    def check(self, value: NDArray[Any]) -> None:
        """Raise InputError unless the value is an array of the right type and shape, with something in it.

        What is no tensor of numpy's (a list, a bfloat16) is left to ONNX Runtime to check.
        """
        if self.dtype is None:
            return
        try:
            shape = value.shape
            right = value.dtype == self.dtype and len(shape) == len(self.shape) and 0 not in shape
        except AttributeError:
            raise self.refusal(f"a {type(value).__name__} and no numpy array") from None
        if right:
            for axis, size in self.fixed:
                if shape[axis] != size:
                    break
            else:
                return
        elif self.dtype == object and value.dtype.kind in "US" and len(shape) == len(self.shape) and 0 not in shape:
            return  # numpy's own strings are strings too
        raise self.refusal(_describe(value))

    def check_finite(self, value: NDArray[Any]) -> None:
        """Raise InputError if a number is infinite, or missing (NaN) where none may be."""
        if self.dtype is None or value.dtype.kind != "f":
            return
        wrong = np.isinf(value) if self.takes_missing else ~np.isfinite(value)
        if wrong.any():
            row = int(np.argwhere(wrong)[0][0]) if value.ndim else 0
            what = "infinite" if self.takes_missing else "NaN or infinite"
            raise InputError(self.name, "finite numbers only", f"{what} in row {row}")

    def refusal(self, given: str) -> InputError:
        return InputError(self.name, str(self), given)

    @cached_property
    def _told(self) -> str:
        dtype = "strings" if self.dtype == object else str(self.dtype)
        shape = f"({', '.join(map(str, self.shape))}{',' if len(self.shape) == 1 else ''})"
        return f"{dtype} of shape {shape}{', null where a value is missing' if self.takes_missing else ''}"

    def __str__(self) -> str:
        return self._told


def spec_of(argument: Any) -> TensorSpec:
    """The spec of what ONNX Runtime says of an input or output."""
    shape = tuple(size if isinstance(size, int) else size or "?" for size in argument.shape)
    return TensorSpec(argument.name, DTYPES.get(argument.type), shape)


def check_axes_agree(specs: tuple[TensorSpec, ...], values: list[NDArray[Any]]) -> None:
    """Raise InputError if one name, such as ``batch``, would stand for two sizes."""
    sizes: dict[str, tuple[int, str]] = {}
    for spec, value in zip(specs, values, strict=True):
        if spec.dtype is None:
            continue
        for axis, size in zip(spec.shape, value.shape, strict=True):
            if isinstance(axis, str) and axis != "?":
                first, where = sizes.setdefault(axis, (size, spec.name))
                if first != size:
                    raise InputError(
                        spec.name, f"as many in the axis {axis!r} as {where!r}, which has {first}", f"{size} long there"
                    )


def _describe(value: NDArray[Any]) -> str:
    if 0 in value.shape:
        return f"empty, of shape {value.shape}"
    return f"{value.dtype} of shape {value.shape}"
