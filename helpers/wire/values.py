"""What an API takes and gives, as its annotations say: tensors, images, tables; anything else is JSON.

    def classify(self, images: Tensor["float32", "batch", 1, 8, 8]) -> Tensor["float32", "batch", 10]
    def describe(self, photo: Image["RGB"]) -> dict[str, float]
    def score(self, rows: Table[{"age": "float32 | None", "city": "str"}]) -> Tensor["float32", "rows"]

``| None`` after a type of floating-point numbers says that values may be missing: NaN for the method,
null in JSON, nothing between two commas in CSV.

For Python they are numpy arrays, and dictionaries of columns; a method can be called with
them as with any others. The engine reads the annotation and checks what comes from outside.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from helpers.runtime import InputError, TensorSpec
from helpers.wire.errors import invalid

MODES: dict[str, tuple[int, ...]] = {"L": (), "RGB": (3,), "RGBA": (4,)}  # Pillow's names, and the axes of a pixel
Array = NDArray[Any]
OPTIONAL = re.compile(r"(.*\S)\s*\|\s*None")


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

    def promised(self, answer: Any) -> Array:
        """What a method answered, as its annotation promises; else the service is at fault, and not the caller."""
        array, spec = np.asarray(answer), self.spec
        if spec.dtype == object and array.dtype.kind == "U":
            array = array.astype(object)
        sizes = zip(array.shape, spec.shape, strict=False)
        if (
            array.dtype != spec.dtype
            or array.ndim != len(spec.shape)
            or any(size != wanted for size, wanted in sizes if isinstance(wanted, int))
        ):
            raise TypeError(f"{spec.name} should be {spec}, and is {array.dtype} of shape {array.shape}")
        return array

    def kind(self, value: Array) -> object:
        """What may go together in a batch."""
        return value.shape[1:]

    def named(self, name: str) -> "TensorValue":
        return TensorValue(replace(self.spec, name=name))


@dataclass(frozen=True)
class ImageValue:
    """A picture: height × width (× channels) of bytes."""

    mode: str
    name: str = ""
    has_rows = False

    def check(self, value: Any, finite_only: bool = False) -> None:
        if not self._is_right(value):
            raise invalid(self.name, "no picture", f"a picture, as uint8 of {self.mode}")

    def promised(self, answer: Any) -> Array:
        array = np.asarray(answer)
        if not self._is_right(array):
            raise TypeError(f"{self.name} should be uint8 of {self.mode}, and is {array.dtype} of shape {array.shape}")
        return array

    def _is_right(self, value: Any) -> bool:
        channels = MODES[self.mode]
        return (
            isinstance(value, np.ndarray)
            and value.dtype == np.uint8
            and value.ndim == 2 + len(channels)
            and value.shape[2:] == channels
            and value.size > 0
        )

    def named(self, name: str) -> "ImageValue":
        return ImageValue(self.mode, name)


@dataclass(frozen=True)
class TableValue:
    """Columns by name, each of one type and all of one length."""

    columns: Mapping[str, np.dtype[Any]] = field(hash=False)
    name: str = ""
    missing: frozenset[str] = frozenset()
    """The columns that take missing values."""
    has_rows = True

    @cached_property
    def specs(self) -> dict[str, TensorSpec]:
        return {
            name: TensorSpec(f"{self.name}.{name}", dtype, ("rows",), name in self.missing)
            for name, dtype in self.columns.items()
        }

    def check(self, value: Any, finite_only: bool = False) -> None:
        if not isinstance(value, Mapping):
            raise invalid(self.name, f"a {type(value).__name__}", str(self))
        self.expect_columns(value.keys(), self.name)
        for column, spec in self.specs.items():
            TensorValue(spec).check(value[column], finite_only)
        if len({len(column) for column in value.values()}) > 1:
            raise invalid(self.name, "of columns of different lengths", "as many values in each column")

    def expect_columns(self, names: Collection[str], where: str) -> None:
        """Refuse a table, or a row of it, that has others or lacks some."""
        for name in self.columns:
            if name not in names:
                raise invalid(f"{where}.{name}", "missing", str(self))
        for name in names:
            if name not in self.columns:
                raise invalid(f"{where}.{name[:80]}", "not a column", str(self))

    def promised(self, answer: Any) -> dict[str, Array]:
        if not isinstance(answer, Mapping) or answer.keys() != self.columns.keys():
            told = sorted(answer) if isinstance(answer, Mapping) else type(answer).__name__
            raise TypeError(f"{self.name} should be {self}, and is {told}")
        columns = {name: TensorValue(spec).promised(answer[name]) for name, spec in self.specs.items()}
        if len({len(column) for column in columns.values()}) > 1:
            raise TypeError(f"{self.name} has columns of different lengths")
        return columns

    def kind(self, value: Any) -> object:
        return None

    def named(self, name: str) -> "TableValue":
        return TableValue(self.columns, name, self.missing)

    def __str__(self) -> str:
        told = (
            f"{name}: {'strings' if dtype.kind == 'O' else dtype}{' or null' if name in self.missing else ''}"
            for name, dtype in self.columns.items()
        )
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

    def promised(self, answer: Any) -> Any:
        return answer

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


def tensor(name: str, dtype: np.dtype[Any], shape: tuple[int | str, ...], takes_missing: bool = False) -> TensorValue:
    return TensorValue(TensorSpec(name, dtype, shape, takes_missing))


def value_of(annotation: Any, name: str = "") -> Value:
    """What an annotation says."""
    if isinstance(annotation, _Annotation):
        raise TypeError(
            f"{name}: say which one, as in Tensor['float32', 'batch'], Image['RGB'], Table[{{'age': 'int64'}}]"
        )
    for extra in get_args(annotation)[1:] if get_origin(annotation) is Annotated else ():
        if isinstance(extra, TensorValue | ImageValue | TableValue):
            return extra.named(name)
    return JsonValue(annotation, name)


def _read_tensor(given: Any) -> TensorValue:
    dtype, *shape = given if isinstance(given, tuple) and given else (given,)
    if not all(isinstance(size, str) or (type(size) is int and size >= 0) for size in shape):
        raise TypeError(f"Tensor[{given}]: an axis is a number, or a name if it may have any size")
    read, takes_missing = _dtype(dtype, f"Tensor[{given}]")
    return tensor("", read, tuple(shape), takes_missing)


def _read_image(given: Any) -> ImageValue:
    if not isinstance(given, str) or given not in MODES:
        raise TypeError(f"Image[{given!r}]: a picture is one of {', '.join(MODES)}")
    return ImageValue(given)


def _read_table(given: Any) -> TableValue:
    if not isinstance(given, Mapping) or not given or not all(isinstance(name, str) for name in given):
        raise TypeError('a table names its columns and their types: Table[{"age": "float32", "city": "str"}]')
    read = {name: _dtype(dtype, f"the column {name}") for name, dtype in given.items()}
    missing = frozenset(name for name, (_, takes_missing) in read.items() if takes_missing)
    return TableValue({name: dtype for name, (dtype, _) in read.items()}, missing=missing)


def _dtype(given: Any, where: str) -> tuple[np.dtype[Any], bool]:
    """A type, and whether it takes missing values."""
    if isinstance(given, str) and (optional := OPTIONAL.fullmatch(given)):
        dtype, _ = _dtype(optional[1], where)
        if dtype.kind != "f":
            raise TypeError(f"{where}: only floating-point numbers can be missing; {optional[1]} has no NaN")
        return dtype, True
    if given is str or given == "str":
        return np.dtype(object), False
    try:
        dtype = np.dtype(given).newbyteorder("=")
    except (TypeError, ValueError):
        dtype = np.dtype(object)
    if given is None or dtype.kind not in "biuf":
        raise TypeError(f"{where}: {given!r} is no type that can be sent; bool, float32, int64 and str are")
    return dtype, False


Tensor = _Annotation(np.ndarray, _read_tensor)
Image = _Annotation(np.ndarray, _read_image)
Table = _Annotation(dict[str, np.ndarray], _read_table)
