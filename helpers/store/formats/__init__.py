"""How each kind of model is written into a version's folder, and read from it.

A framework is imported only when a model of its own is saved or loaded. One's own kind
of model is added with ``register``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from helpers.errors import UserError
from helpers.store.record import Signature

Details = dict[str, str]


@dataclass(frozen=True)
class Format:
    """One kind of model.

    ``write`` puts the model into a folder and returns what ``read`` will need to know.
    ``read`` gets the folder, those details and the device. ``runs_code`` says that a
    file of this kind can make whoever opens it do anything: it is opened only on request.
    """

    name: str
    handles: Callable[[Any], bool]
    write: Callable[[Any, Path], Details]
    read: Callable[[Path, Details, str], Any]
    runs_code: bool
    needs: Sequence[str] = ()
    signatures: Callable[[Path], Mapping[str, Signature]] = lambda folder: {}


_registered: list[Format] = []


def register(own: Format) -> None:
    """Make ``save`` and ``load`` know one more kind; the same name again replaces it."""
    _registered[:] = [known for known in _registered if known.name != own.name]
    _registered.insert(0, own)


def format_for(model: Any) -> Format:
    """The kind that a model is of."""
    for known in formats():
        if known.handles(model):
            return known
    if isinstance(model, (str, Path)):
        raise UserError(
            f"{model} is neither an ONNX file (FILE.onnx) nor the folder of a SavedModel.",
            "check its name; models of other kinds are saved from Python, with helpers.store.save.",
            exit_code=2,
        )
    raise UserError(
        f"The store does not know how to keep a {type(model).__module__}.{type(model).__qualname__}.",
        f"it knows: {', '.join(known.name for known in formats())}; "
        "export the model to ONNX, or add a kind of your own with helpers.store.register.",
    )


def format_called(name: str) -> Format:
    for known in formats():
        if known.name == name:
            return known
    raise UserError(f"No kind of model called {name!r} is known here.", "register it first: helpers.store.register.")


def formats() -> list[Format]:
    return [*_registered, *_built_in()]


def is_of(model: Any, package: str) -> bool:
    """True if the model's class, or one that it is derived from, comes from a package."""
    return any(kind.__module__.split(".")[0] == package for kind in type(model).__mro__)


@cache
def _built_in() -> tuple[Format, ...]:
    """The nearest first: an XGBoost model is scikit-learn's too."""
    from helpers.store.formats import keras, lightgbm, onnx, sklearn, tensorflow, torch, xgboost

    trees = (xgboost.FORMAT, lightgbm.FORMAT)
    return (
        onnx.FORMAT,
        *trees,
        torch.SCRIPT,
        torch.STATE,
        torch.MODULE,
        keras.FORMAT,
        tensorflow.FORMAT,
        sklearn.FORMAT,
    )
