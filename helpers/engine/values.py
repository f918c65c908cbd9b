"""What an API takes and gives, as its annotations say: tensors, images, tables; anything else is JSON.

    def classify(self, images: Tensor["float32", "batch", 1, 8, 8]) -> Tensor["float32", "batch", 10]
    def describe(self, photo: Image["RGB"]) -> dict[str, float]
    def score(self, rows: Table[{"age": "float32", "city": "str"}]) -> Tensor["float32", "rows"]

For Python they are numpy arrays, and dictionaries of columns; a method can be called with
them as with any others. The engine reads the annotation and checks what comes from outside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from helpers.engine.errors import invalid
from helpers.runtime import InputError, TensorSpec

MODES = {"L": 2, "RGB": 3, "RGBA": 3}  # Pillow's names, and the axes of the array
Array = NDArray[Any]


@dataclass(frozen=True)
class TensorValue:
    """An array: an axis is a number if it is fixed, and a name if it may have any size."""

    spec: TensorSpec

    @property
    def has_rows(self) -> bool:
        return bool(self.spec.shape) and isinstance(self.spec.shape[0], str)

    def check(self, value: Any, finite_only: bool = False) -> None:
        """Refuse what a caller sent, if it is another array."""
        try:
            self.spec.check(value)
            if finite_only:
                self.spec.check_finite(value)
        except InputError as error:
            raise invalid(error.name, error.given, error.expected) from None

    def kind(self, value: Array) -> object:
        """What may go together in a batch."""
        return value.shape[1:]

    def named(self, name: str) -> "TensorValue":
        assert self.spec.dtype is not None
        return tensor(name, self.spec.dtype, self.spec.shape)


@dataclass(frozen=True)
class ImageValue:
    """A picture: height × width (× channels) of bytes."""

    mode: str
    name: str = ""
    has_rows = False

    def check(self, value: Any, finite_only: bool = False) -> None:
        if not (isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == MODES[self.mode]):
            raise invalid(self.name, "no picture", f"a picture, as uint8 of {self.mode}")

    def named(self, name: str) -> "ImageValue":
        return ImageValue(self.mode, name)


@dataclass(frozen=True)
class TableValue:
    """Columns by name, each of one type and all of one length."""

    columns: Mapping[str, np.dtype[Any]] = field(hash=False)
    name: str = ""
    has_rows = True

    @cached_property
    def specs(self) -> dict[str, TensorSpec]:
        return {name: TensorSpec(f"{self.name}.{name}", dtype, ("rows",)) for name, dtype in self.columns.items()}

    def check(self, value: Any, finite_only: bool = False) -> None:
        if not isinstance(value, Mapping):
            raise invalid(self.name, f"a {type(value).__name__}", str(self))
        if value.keys() != self.columns.keys():
            wrong = sorted(value.keys() ^ self.columns.keys())[0]
            raise invalid(
                f"{self.name}.{wrong[:80]}", "missing" if wrong in self.columns else "not a column", str(self)
            )
        for column, spec in self.specs.items():
            TensorValue(spec).check(value[column], finite_only)
        if len({len(column) for column in value.values()}) > 1:
            raise invalid(self.name, "of columns of different lengths", "as many values in each column")

    def kind(self, value: Any) -> object:
        return None

    def named(self, name: str) -> "TableValue":
        return TableValue(self.columns, name)

    def __str__(self) -> str:
        told = (f"{name}: {'strings' if dtype.kind == 'O' else dtype}" for name, dtype in self.columns.items())
        return f"a table with {', '.join(told)}"


@dataclass(frozen=True)
class JsonValue:
    """Whatever msgspec can check: numbers, text, lists, dictionaries, dataclasses, structs."""

    type: Any
    name: str = ""

    @property
    def has_rows(self) -> bool:
        return get_origin(self.type) is list or self.type is list

    def check(self, value: Any, finite_only: bool = False) -> None:
        """It was checked when it was decoded."""

    def kind(self, value: Any) -> object:
        return None

    def named(self, name: str) -> "JsonValue":
        return JsonValue(self.type, name)


Value = TensorValue | ImageValue | TableValue | JsonValue


class _Annotation:
    """``Tensor[…]`` and its like: for Python the type on the left, for the engine the value on the right."""

    def __init__(self, type_: Any, read: Callable[[Any], Value]) -> None:
        self.type, self.read = type_, read

    def __getitem__(self, given: Any) -> Any:
        return Annotated[self.type, self.read(given)]


def tensor(name: str, dtype: np.dtype[Any], shape: tuple[int | str, ...]) -> TensorValue:
    return TensorValue(TensorSpec(name, dtype, shape))


def value_of(annotation: Any, name: str = "") -> Value:
    """What an annotation says."""
    for extra in get_args(annotation)[1:] if get_origin(annotation) is Annotated else ():
        if isinstance(extra, TensorValue | ImageValue | TableValue):
            return extra.named(name)
    return JsonValue(annotation, name)


def _read_tensor(given: Any) -> TensorValue:
    dtype, *shape = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(size, str) or (type(size) is int and size >= 0) for size in shape):
        raise TypeError(f"Tensor[{given}]: an axis is a number, or a name if it may have any size")
    return tensor("", _dtype(dtype, f"Tensor[{given}]"), tuple(shape))


def _read_image(given: Any) -> ImageValue:
    if given not in MODES:
        raise TypeError(f"Image[{given!r}]: a picture is one of {', '.join(MODES)}")
    return ImageValue(given)


def _read_table(given: Any) -> TableValue:
    if not isinstance(given, Mapping) or not given:
        raise TypeError('a table names its columns and their types: Table[{"age": "float32", "city": "str"}]')
    return TableValue({name: _dtype(dtype, f"the column {name}") for name, dtype in given.items()})


def _dtype(given: Any, where: str) -> np.dtype[Any]:
    if given in (str, "str"):
        return np.dtype(object)
    try:
        dtype: np.dtype[Any] = np.dtype(given)
    except TypeError:
        raise TypeError(f"{where}: {given!r} is no type of numbers; str, float32, int64 are") from None
    if dtype.kind not in "biuf":
        raise TypeError(f"{where}: {dtype} cannot be sent; numbers, bool and str can")
    return dtype


Tensor = _Annotation(np.ndarray, _read_tensor)
Image = _Annotation(np.ndarray, _read_image)
Table = _Annotation(dict[str, np.ndarray], _read_table)
