"""What a learner has done so far: on this machine, for nobody else to see."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers import atomic_files
from helpers.classroom.outcome import CORRECT
from helpers.places import lab_home

Record = dict[str, Any]


class Progress:
    """The record in ``.lab/progress.json``, by the lesson's name and the task's.

    Several kernels may write it at the same time. It is a convenience: a record that
    cannot be read begins anew, and one that cannot be written stops no lesson.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or lab_home() / "progress.json"

    def of(self, lesson: str) -> dict[str, Record]:
        """What was done in one lesson, by task."""
        try:
            return _of(_parsed(self.path.read_bytes()), lesson)
        except OSError:
            return {}

    def record_check(self, lesson: str, task: str, kind: str) -> None:
        """One more check. What was once correct stays so."""

        def checked(record: Record) -> None:
            record["checks"] += 1
            record["outcome"] = CORRECT if CORRECT in (kind, record["outcome"]) else kind

        self._change(lesson, task, checked)

    def record_hint(self, lesson: str, task: str) -> None:
        def hinted(record: Record) -> None:
            record["hints"] += 1

        self._change(lesson, task, hinted)

    def record_solution(self, lesson: str, task: str) -> None:
        self._change(lesson, task, lambda record: record.update(solution_seen=True))

    def _change(self, lesson: str, task: str, change: Callable[[Record], None]) -> None:
        def changed(raw: bytes | None) -> bytes:
            kept = _parsed(raw)
            tasks = _of(kept, lesson)
            record = {"outcome": "", "checks": 0, "hints": 0, "solution_seen": False} | tasks.get(task, {})
            change(record)
            kept[lesson] = tasks | {task: record}
            return json.dumps(kept, indent=1).encode()

        with contextlib.suppress(OSError):
            atomic_files.update(self.path, changed)


def _of(kept: dict[str, Any], lesson: str) -> dict[str, Record]:
    found = kept.get(lesson, {})
    return found if isinstance(found, dict) else {}


def _parsed(raw: bytes | None) -> dict[str, Any]:
    try:
        kept = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return kept if isinstance(kept, dict) else {}
