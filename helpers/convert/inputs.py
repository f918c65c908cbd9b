"""An example of a model's input, in the forms in which people have one."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from helpers.convert.errors import ConversionError

if TYPE_CHECKING:
    import pandas

Arrays = tuple[NDArray[Any], ...]


class Inputs(tuple[NDArray[Any], ...]):
    """One array for each input, with the batch first; its names, if the caller gave them.

    ``frame`` is an empty table with the columns and types of the DataFrame that the arrays are
    made from; each array then holds one column.
    """

    names: tuple[str, ...]
    frame: "pandas.DataFrame | None"

    def __new__(
        cls, arrays: Sequence[NDArray[Any]], names: Sequence[str] = (), frame: "pandas.DataFrame | None" = None
    ) -> Self:
        made = super().__new__(cls, tuple(arrays))
        made.names, made.frame = tuple(names), frame
        return made

    @property
    def rows(self) -> int:
        return len(self[0])

    def map(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> "Inputs":
        """The same inputs with other values."""
        return Inputs([change(array) for array in self], self.names, self.frame)

    def first(self, rows: int) -> "Inputs":
        return self.map(lambda array: array[:rows])

    def resized(self, rows: int) -> "Inputs":
        """So many rows, repeated from the start as often as it takes."""
        return self.map(lambda array: np.resize(array, (rows, *array.shape[1:])))

    def replace(self, arrays: Sequence[NDArray[Any]]) -> "Inputs":
        return Inputs(arrays, self.names, self.frame)

    def as_frame(self) -> "pandas.DataFrame":
        """The DataFrame again, with the types that the model was given at first."""
        import pandas

        assert self.frame is not None
        columns = {name: array[:, 0] for name, array in zip(self.frame.columns, self, strict=True)}
        return pandas.DataFrame(columns).astype(self.frame.dtypes.to_dict())


def read_example(example: Any) -> Inputs:
    """An array, a tuple of arrays, arrays by name, or a DataFrame."""
    if type(example).__module__.split(".")[0] == "pandas":
        return _from_frame(example)
    if isinstance(example, Inputs):
        inputs = example
    elif isinstance(example, Mapping):
        inputs = Inputs([np.asarray(array) for array in example.values()], [str(name) for name in example])
    elif isinstance(example, (tuple, list)) and all(hasattr(array, "shape") for array in example):
        inputs = Inputs([_as_array(array) for array in example])
    else:
        inputs = Inputs([_as_array(example)])
    for array in inputs:
        if array.ndim == 0 or not array.size:
            raise ConversionError(
                f"The example has the shape {array.shape}.", "pass a batch: at least one row, with the batch first.", 2
            )
    if len({len(array) for array in inputs}) > 1:
        sizes = ", ".join(str(len(array)) for array in inputs)
        raise ConversionError(f"The inputs of the example have {sizes} rows.", "pass as many rows of each.", 2)
    return inputs


def two_rows(inputs: Inputs) -> Inputs:
    """Two rows of each input: enough to convert, and no size that could be taken for a fixed one."""
    return inputs.map(lambda array: np.repeat(array[:1], 2, axis=0) if len(array) == 1 else array[:2])


def _as_array(values: Any) -> NDArray[Any]:
    """Arrays of other libraries too: a torch tensor may be on a device, or part of a computation."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    array = np.asarray(values)
    return array.astype(object) if array.dtype.kind in "US" else array


def _from_frame(frame: "pandas.DataFrame") -> Inputs:
    frame = frame.to_frame() if frame.ndim == 1 else frame
    texts = [name for name in frame if _is_text(frame[name])]
    frame = frame[frame[texts].notna().all(axis=1)] if texts else frame
    if not len(frame):
        raise ConversionError(
            "The example has no row in which all columns of text are filled.",
            "pass rows with text in these columns: ONNX has no missing text.",
            2,
        )
    return Inputs([_column(frame, name) for name in frame], [str(name) for name in frame], frame.iloc[:0])


def _is_text(column: "pandas.Series[Any]") -> bool:
    categories = getattr(getattr(column, "cat", None), "categories", None)
    return (column if categories is None else categories).dtype.kind in "OUT" or str(column.dtype).startswith("str")


def _column(frame: "pandas.DataFrame", name: Any) -> Any:
    """Text as text, whole numbers and truths as they are, and all other numbers as float32."""
    column = frame[name]
    if _is_text(column):
        return column.astype(object).to_numpy().astype(str).astype(object)[:, None]
    values = column.to_numpy()
    if values.dtype.kind in "iu":
        return values.astype(np.int64)[:, None]
    if values.dtype.kind == "f":
        return values.astype(np.float32)[:, None]
    if values.dtype.kind == "b":
        return values[:, None]
    raise ConversionError(
        f"The column {name!r} of the example is of the type {column.dtype}.",
        "pass numbers, truths or text: turn dates into numbers before the model.",
    )
