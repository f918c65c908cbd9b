"""What a learner has done so far: on this machine, for nobody else to see."""

import json
import os
from pathlib import Path
from typing import Any

from helpers.classroom.outcome import CORRECT
from helpers.places import lab_home

Record = dict[str, Any]


class Progress:
    """The record in ``.lab/progress.json``, by the lesson's name and the task's.

    It is a convenience: a record that cannot be read begins anew, and one that
    cannot be written stops no lesson.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or lab_home() / "progress.json"

    def of(self, lesson: str) -> dict[str, Record]:
        """What was done in one lesson, by task."""
        found = self._read().get(lesson, {})
        return found if isinstance(found, dict) else {}

    def record_check(self, lesson: str, task: str, kind: str) -> None:
        """One more check. What was once correct stays so."""
        record = self._task(lesson, task)
        record["checks"] += 1
        record["outcome"] = CORRECT if CORRECT in (kind, record["outcome"]) else kind
        self._save(lesson, task, record)

    def record_hint(self, lesson: str, task: str) -> None:
        record = self._task(lesson, task)
        record["hints"] += 1
        self._save(lesson, task, record)

    def record_solution(self, lesson: str, task: str) -> None:
        record = self._task(lesson, task)
        record["solution_seen"] = True
        self._save(lesson, task, record)

    def _task(self, lesson: str, task: str) -> Record:
        blank = {"outcome": "", "checks": 0, "hints": 0, "solution_seen": False}
        return blank | self.of(lesson).get(task, {})

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def _save(self, lesson: str, task: str, record: Record) -> None:
        kept = self._read()
        kept[lesson] = self.of(lesson) | {task: record}
        # Two kernels may write at once: each writes a file of its own and renames it.
        beside = self.path.with_suffix(f".{os.getpid()}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(kept, indent=1), "utf-8")
            beside.replace(self.path)
        except OSError:
            pass
