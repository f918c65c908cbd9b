"""What belongs to a model and is no weight: class names, a transform, a tokenizer.

What JSON can hold is kept as JSON. Anything else is pickled, and opened only on request.
"""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.errors import UserError
from helpers.store.tags import check_part

FOLDER = "custom"
JSON, PICKLE = "json", "pickle"


def write_custom(objects: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Write each into a file of its own; return how each was kept."""
    kinds = {}
    for name, value in objects.items():
        check_part(name, "name of a custom object")
        kinds[name] = JSON if _survives_json(value) else PICKLE
        (folder / FOLDER).mkdir(exist_ok=True)
        path = folder / FOLDER / f"{name}.{kinds[name]}"
        if kinds[name] == JSON:
            path.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
        else:
            try:
                path.write_bytes(pickle.dumps(value))
            except Exception as error:  # what can go wrong is up to the object
                raise UserError(
                    f"The custom object {name!r} cannot be kept: {error}.",
                    "use an object of an importable class, and no lambda or open file.",
                ) from error
    return kinds


def read_custom(folder: Path, kinds: Mapping[str, str]) -> dict[str, Any]:
    """All of them, by name. Pickles are opened: ask first whether they may be."""
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        path = folder / FOLDER / f"{check_part(name, 'name of a custom object')}.{kind}"
        found[name] = json.loads(path.read_text("utf-8")) if kind == JSON else pickle.loads(path.read_bytes())
    return found


def _survives_json(value: Any) -> bool:
    """True if JSON gives back the very same: a tuple, say, would come back as a list."""
    try:
        again = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return False
    return _same(value, again)


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
