"""The learner's own copies of the exercises, in ``work/``."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from helpers.classroom import notebook_file
from helpers.classroom.lessons import LessonFiles
from helpers.errors import UserError
from helpers.places import WORK


@dataclass(frozen=True)
class Started:
    """Where the copy is, whether it was made just now, and copies that were there before."""

    path: Path
    made: bool
    earlier: list[Path]


def start(lesson: LessonFiles, again: bool = False, work: Path = WORK) -> Started:
    """Copy a lesson's exercise to ``work/``; nothing there is ever overwritten.

    An earlier copy is recognised by the exercise's name inside it, whatever the file
    or the lesson's number is now. ``again`` makes one more, under a number of its own.
    """
    if not lesson.exercise.exists():
        raise UserError(f"Lesson {lesson.number} has no exercise.", "see which have: python3 -m helpers status")
    earlier = copies_of(lesson, work)
    if earlier and not again:
        return Started(earlier[-1], False, earlier)
    try:
        work.mkdir(parents=True, exist_ok=True)
        return Started(_copy_beside(lesson.exercise, work), True, earlier)
    except OSError as error:
        raise UserError(
            f"{work} cannot be written ({error.strerror}).", "free some space, or check who owns it."
        ) from None


def copies_of(lesson: LessonFiles, work: Path = WORK) -> list[Path]:
    """The learner's copies of one exercise, oldest first."""
    found = []
    for path in work.glob("*.ipynb"):
        try:
            metadata = notebook_file.read(path)["metadata"]
        except UserError:
            continue  # a damaged notebook is the learner's to mend, and no copy of ours
        if path.name == lesson.exercise.name or metadata.get("servelab", {}).get("exercise") == lesson.name:
            found.append(path)
    return sorted(found, key=lambda path: (path.stat().st_ctime_ns, path.name))


def _copy_beside(exercise: Path, work: Path) -> Path:
    number = 1
    while True:
        suffix = "" if number == 1 else f"-{number}"
        path = work / f"{exercise.stem}{suffix}.ipynb"
        try:
            with path.open("xb") as copy, exercise.open("rb") as original:  # x: never an existing file
                shutil.copyfileobj(original, copy)
        except FileExistsError:
            number += 1
        else:
            return path
