"""Models by name and version: saved whole, verified when loaded, found without being opened.

>>> from helpers import store
>>> store.save("digits", "digits.onnx", labels={"stage": "trial"})  # doctest: +SKIP
>>> store.alias("digits:latest", "prod")                            # doctest: +SKIP
>>> model = store.load("digits:prod")                               # doctest: +SKIP

These functions use the store in ``.lab/store``; a ``Store`` of one's own lies where it is told.
"""

from collections.abc import Mapping
from typing import Any

from helpers.store.catalog import Store, Stored
from helpers.store.formats import Format, register
from helpers.store.record import Record, Signature, TensorInfo

__all__ = [
    "Format",
    "Record",
    "Signature",
    "Store",
    "Stored",
    "TensorInfo",
    "alias",
    "get",
    "list",
    "load",
    "newest",
    "register",
    "remove",
    "remove_alias",
    "save",
]


def save(name: str, model: Any, **options: Any) -> Stored:
    """Keep a model as a new version; see ``Store.save``."""
    return Store().save(name, model, **options)


def get(tag: str) -> Stored:
    """A version by its tag, without opening the model."""
    return Store().get(tag)


def load(tag: str, device: str | None = None, trust: bool = False) -> Any:
    """A model by its tag, verified and ready to answer."""
    return Store().load(tag, device, trust)


def newest(name: str, **labels: str) -> Stored:
    """The newest version that has all of these labels."""
    return Store().newest(name, **labels)


def alias(tag: str, alias: str) -> Stored:
    """Let ``name:alias`` mean this version from now on."""
    return Store().alias(tag, alias)


def remove_alias(tag: str) -> None:
    """Forget an alias."""
    Store().remove_alias(tag)


def remove(tag: str) -> str:
    """Remove one version, and return its tag."""
    return Store().remove(tag)


def list(name: str | None = None, format: str | None = None, labels: Mapping[str, str] | None = None) -> "Any":
    """The versions that fit, by name and the newest first."""
    return Store().list(name, format, labels)
