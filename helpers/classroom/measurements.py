"""What a learner measures in one lesson, kept for another: ``.lab/measurements.json``."""

import json
from pathlib import Path
from typing import Any

from helpers import atomic_files
from helpers.places import lab_home

Figures = dict[str, Any]


def remember(lesson: str, **figures: float | dict[str, float]) -> None:
    """Keep what was measured in a lesson; a figure of the same name is replaced.

    >>> remember("03", digits_onnxruntime_us=35.2)  # doctest: +SKIP
    """

    def with_figures(raw: bytes | None) -> bytes:
        kept = _parsed(raw)
        kept[lesson] = _of(kept, lesson) | figures
        return json.dumps(kept, indent=1, sort_keys=True).encode()

    atomic_files.update(_path(), with_figures)


def recall(lesson: str) -> Figures:
    """What was measured in a lesson on this machine; nothing, if it was not run yet."""
    try:
        return _of(_parsed(_path().read_bytes()), lesson)
    except OSError:
        return {}


def _path() -> Path:
    return lab_home() / "measurements.json"


def _of(kept: dict[str, Any], lesson: str) -> Figures:
    found = kept.get(lesson, {})
    return found if isinstance(found, dict) else {}


def _parsed(raw: bytes | None) -> dict[str, Any]:
    """A record that cannot be read begins anew."""
    try:
        kept = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return kept if isinstance(kept, dict) else {}
