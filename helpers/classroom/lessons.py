"""Which lessons there are: found by looking at the folders, registered nowhere.

``notebooks/01_export.ipynb`` makes lesson 01, called ``export``; a solution and a
checks module of the same number complete it.
"""

import importlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from helpers.classroom import notebook_file
from helpers.classroom.checking import Task
from helpers.errors import UserError
from helpers.places import EXERCISES, LECTURES, SOLUTIONS


@dataclass(frozen=True)
class LessonFiles:
    """The files of one lesson, and what they say of themselves."""

    number: str
    name: str

    @property
    def lecture(self) -> Path:
        return LECTURES / f"{self.number}_{self.name}.ipynb"

    @property
    def solution(self) -> Path:
        return SOLUTIONS / self.lecture.name

    @property
    def exercise(self) -> Path:
        return EXERCISES / self.lecture.name

    @cached_property
    def title(self) -> str:
        """The lecture's heading, without the number."""
        match = re.search(r"^# (?:\d+ )?(.+)$", self._opening(self.lecture), re.MULTILINE)
        return match[1] if match else self.name

    @cached_property
    def minutes(self) -> dict[str, int]:
        """The stated minutes of the lecture and of the exercise."""
        stated = {}
        for part, path in (("lecture", self.lecture), ("exercise", self.solution)):
            match = re.search(r"^\*\*Minutes:\*\* (\d+)", self._opening(path), re.MULTILINE)
            if match:
                stated[part] = int(match[1])
        return stated

    @staticmethod
    def _opening(path: Path) -> str:
        cells = notebook_file.read(path)["cells"] if path.exists() else []
        return str(cells[0]["source"]) if cells else ""

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The lesson's tasks in order, from its checks module; none where it has no exercise."""
        module = f"helpers.classroom.checks.lesson_{self.number}"
        try:
            checks = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            return {}
        return {value.name: value for value in vars(checks).values() if isinstance(value, Task)}


def all_lessons() -> list[LessonFiles]:
    """The lessons in order."""
    names = (path.stem.split("_", 1) for path in sorted(LECTURES.glob("[0-9][0-9]_*.ipynb")))
    return [LessonFiles(number, name) for number, name in names]


def find_lesson(wanted: str) -> LessonFiles:
    """A lesson by its number ("01", "1") or its name ("export")."""
    lessons = all_lessons()
    for found in lessons:
        if wanted in (found.number, found.number.lstrip("0"), found.name):
            return found
    there_are = ", ".join(f"{found.number} ({found.name})" for found in lessons) or "none"
    raise UserError(f"There is no lesson {wanted!r}.", f"choose from: {there_are}.", exit_code=2)
