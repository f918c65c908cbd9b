"""What a learner measures in one lesson, kept for another: ``.lab/measurements.json``."""

import json
import os
from pathlib import Path
from typing import Any

from helpers.places import lab_home

Figures = dict[str, Any]


def remember(lesson: str, **figures: float | dict[str, float]) -> None:
    """Keep what was measured in a lesson; a figure of the same name is replaced.

    >>> remember("03", digits_onnxruntime_us=35.2)  # doctest: +SKIP
    """
    from filelock import FileLock

    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        kept = _read(path)
        kept[lesson] = recall(lesson) | figures
        beside = path.with_suffix(f".{os.getpid()}.new")
        beside.write_text(json.dumps(kept, indent=1, sort_keys=True), "utf-8")
        beside.replace(path)


def recall(lesson: str) -> Figures:
    """What was measured in a lesson on this machine; nothing, if it was not run yet."""
    found = _read(_path()).get(lesson, {})
    return found if isinstance(found, dict) else {}


def _path() -> Path:
    return lab_home() / "measurements.json"


def _read(path: Path) -> dict[str, Any]:
    """A record that cannot be read begins anew."""
    try:
        kept = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
