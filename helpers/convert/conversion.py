"""One way from any framework's model to an ONNX file.

Each framework has a file in ``frameworks/`` with a ``Converter``: what it recognises,
how it writes a model, and what that model itself answers. A framework of your own is
added in the same way:

>>> register(Converter("abacus", handles=lambda kind: kind is Abacus, write=…, answer=…))  # doctest: +SKIP
>>> to_onnx(Abacus(), example, "abacus.onnx")                                              # doctest: +SKIP
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.model_file import complete
from helpers.errors import UserError
from helpers.installed import expect_installed

Arrays = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Converter:
    """How the models of one framework become ONNX.

    ``handles`` is asked about the class of a model, and then about each class that it
    is derived from. ``write`` puts the model into a file; ``example`` holds at least two
    rows of each input. ``answer`` asks the model itself, with and for numpy arrays, one for
    each output of the file. ``needs`` are the packages that do the work.
    """

    name: str
    handles: Callable[[type], bool]
    write: Callable[[Any, Arrays, Path], None]
    answer: Callable[[Any, Arrays], Arrays]
    needs: Sequence[str] = ()


# The newest first: what a learner registers comes before what the kit brings.
_registered: list[Converter] = []


def register(converter: Converter) -> None:
    """Make ``to_onnx`` and ``parity`` know one more framework; the same name again replaces it."""
    _registered[:] = [known for known in _registered if known.name != converter.name]
    _registered.insert(0, converter)


def to_onnx(
    model: Any,
    example: NDArray[Any] | Sequence[NDArray[Any]],
    path: Path | str,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> Path:
    """Write a model of any known framework as one ONNX file, and return its path.

    ``example`` is a batch of input, or a tuple with one for each input: it tells the
    types and the shape of a row. The first axis of each input may have any size in the
    file, where it is called ``batch``; the others are fixed. ``inputs`` and ``outputs``
    name the tensors in order; without them the framework's own names stay.

    >>> to_onnx(pipeline, rows, "digits.onnx", outputs=["label", "probabilities"])  # doctest: +SKIP
    """
    model, path = unwrapped(model), Path(path)
    converter = converter_for(model)
    if converter is None:
        raise UserError(
            f"There is no converter for {_kind(model)}.",
            f"known are {', '.join(known.name for known in converters())}; "
            "add one of your own with helpers.convert.register.",
        )
    expect_installed(f"Converting a {converter.name} model", converter.needs)
    arrays = two_rows(example)
    answers = answers_to_example(converter, model, arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".to-onnx-") as folder:
        made = Path(folder) / path.name
        converter.write(model, arrays, made)
        complete(made, path, inputs, outputs, answers)
    return path


def answers_to_example(converter: Converter, model: Any, arrays: Arrays) -> Arrays:
    """What the model itself says; one that cannot answer need not be converted."""
    try:
        return converter.answer(model, arrays)
    except UserError:
        raise
    except Exception as error:  # whatever a framework, or the model's own code, raises
        said = (str(error).strip().splitlines() or ["without a word"])[0]
        shapes = " and ".join(f"{array.dtype} {array.shape}" for array in arrays)
        why = f"{type(error).__name__}: {said[:300]}"
        raise UserError(
            f"{type(model).__name__} itself does not answer the example ({shapes}): {why}",
            "pass an example of the type and the shape that the model takes, and a model that is fitted.",
        ) from error


def converter_for(model: Any) -> Converter | None:
    """The converter of the nearest class that one handles: an XGBoost model is scikit-learn's too."""
    model = unwrapped(model)
    for kind in type(model).__mro__:
        for converter in converters():
            if converter.handles(kind):
                return converter
    return None


def converters() -> list[Converter]:
    """All that are known, in the order in which they are asked."""
    return [*_registered, *_built_in()]


def from_package(name: str) -> Callable[[type], bool]:
    """Handles the classes of a package, without importing it."""
    return lambda kind: kind.__module__.split(".")[0] == name


def two_rows(example: NDArray[Any] | Sequence[NDArray[Any]]) -> Arrays:
    """Two rows of each input: enough to convert, and no size that could be taken for a fixed one."""
    arrays = tuple(np.asarray(array) for array in (example if isinstance(example, (tuple, list)) else [example]))
    for array in arrays:
        if array.ndim == 0 or not array.size:
            raise UserError(
                f"The example has the shape {array.shape}.", "pass a batch: at least one row, with the batch first.", 2
            )
    return tuple(np.repeat(array[:1], 2, axis=0) if len(array) == 1 else array[:2] for array in arrays)


def numbered(name: str, count: int) -> list[str]:
    """output, or output_0 and output_1."""
    return [name] if count == 1 else [f"{name}_{place}" for place in range(count)]


def unwrapped(model: Any) -> Any:
    """A text names a folder; what torch.compile returns holds the module itself."""
    if isinstance(model, str):
        return Path(model)
    return getattr(model, "_orig_mod", model)


def _kind(model: Any) -> str:
    return f"{model} (a path)" if isinstance(model, Path) else f"a {type(model).__module__}.{type(model).__qualname__}"


@cache
def _built_in() -> tuple[Converter, ...]:
    from helpers.convert.frameworks import (
        keras_models,
        lightgbm_models,
        saved_models,
        sklearn_models,
        torch_models,
        xgboost_models,
    )

    modules = (torch_models, sklearn_models, keras_models, saved_models, xgboost_models, lightgbm_models)
    return tuple(module.CONVERTER for module in modules)
