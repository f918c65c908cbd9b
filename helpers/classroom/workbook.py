"""The learner's own copies of lectures and exercises, in ``work/``.

JupyterLab saves outputs into the file that it runs. In a copy, that leaves the course's own
files as they are, and an update of the course meets no changed file.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from helpers.classroom import notebook_file
from helpers.classroom.lessons import LessonFiles, all_lessons
from helpers.classroom.notebook_file import Notebook
from helpers.errors import UserError

LECTURE, EXERCISE = "lecture", "exercise"
# In this order they are listed: the lecture of a lesson, then its exercise.
PLACES = {LECTURE: 1, EXERCISE: 2}
# In a copy's metadata: the digest of its content when it was made.
COPIED = "copied"
LINK = re.compile(r"(?P<before>\]\(|\b(?:src|href)=[\"'])(?P<target>[^)\s\"'#]+)")


@dataclass(frozen=True)
class Original:
    """One notebook of the course, of which learners get copies."""

    lesson: LessonFiles
    kind: str

    @property
    def path(self) -> Path:
        return self.lesson.lecture if self.kind == LECTURE else self.lesson.exercise

    @property
    def copy_name(self) -> str:
        """A copy's file name, such as ``01_export_1_lecture.ipynb``."""
        return f"{self.path.stem}_{PLACES[self.kind]}_{self.kind}.ipynb"

    @property
    def copy_names(self) -> set[str]:
        """The names by which a copy without our metadata is recognised; exercises' copies had another once."""
        return {self.copy_name, self.path.name} if self.kind == EXERCISE else {self.copy_name}

    def fresh_copy(self, work: Path) -> Notebook:
        """What a copy in ``work`` holds before the learner changes it."""
        copy = notebook_file.strip(notebook_file.read(self.path))
        for cell in copy["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = _with_links_from(work, cell["source"], self.path.parent)
        copy["metadata"]["servelab"] = {self.kind: self.lesson.name, COPIED: content_digest(copy)}
        return copy


@dataclass(frozen=True)
class Copy:
    """One copy: its file, the digest of its content, and that of its content when it was made.

    The latter is None in copies that were made before it was recorded.
    """

    path: Path
    content: str
    made_as: str | None

    def is_edited(self, fresh: Notebook) -> bool:
        """True unless it is as it was made, or as it would be made now."""
        return self.content not in (self.made_as, content_digest(fresh))


@dataclass(frozen=True)
class Started:
    """Where the copy is, whether the learner has edited it, and whether the course has a newer version."""

    path: Path
    edited: bool
    outdated: bool


def originals() -> list[Original]:
    """Every notebook that learners work with, in order."""
    found = [Original(lesson, kind) for lesson in all_lessons() for kind in PLACES]
    return [original for original in found if original.path.exists()]


def refresh(work: Path) -> list[tuple[Original, Started]]:
    """Give the learner a current copy of everything, and overwrite nothing that was edited."""
    return [(original, start(original, work)) for original in originals()]


def start(original: Original, work: Path, again: bool = False) -> Started:
    """Make a copy in ``work``, or bring one up to date that was not edited.

    An earlier copy is recognised by the lesson's name inside it, whatever the file or the
    lesson's number is now. ``again`` makes one more, under a number of its own.
    """
    if not original.path.exists():
        raise UserError(
            f"Lesson {original.lesson.number} has no {original.kind}.", "see which have: python3 -m helpers status"
        )
    fresh = original.fresh_copy(work)
    newest = content_digest(fresh)
    try:
        work.mkdir(parents=True, exist_ok=True)
        earlier = copies_of(original, work)
        if again or not earlier:
            return Started(_write_new(fresh, work, original.copy_name), False, False)
        for copy in earlier:
            if copy.made_as not in (newest, None) and not copy.is_edited(fresh):
                notebook_file.write(copy.path, fresh)
    except OSError as error:
        raise UserError(
            f"{work} cannot be written ({error.strerror}).", "free some space, or check who owns it."
        ) from None
    copies = copies_of(original, work)
    outdated = not any(newest in (copy.made_as, copy.content) for copy in copies)
    # A copy that does not record what it was made from may be of any version.
    outdated = outdated and all(copy.made_as for copy in copies)
    return Started(copies[-1].path, copies[-1].is_edited(fresh), outdated)


def is_begun(original: Original, work: Path) -> bool:
    """True if the learner has edited a copy."""
    copies = copies_of(original, work)
    return bool(copies) and any(copy.is_edited(original.fresh_copy(work)) for copy in copies)


def copies_of(original: Original, work: Path) -> list[Copy]:
    """The learner's copies of one notebook, oldest first."""
    found = []
    for path in work.glob("*.ipynb"):
        try:
            notebook = notebook_file.read(path)
            marks = notebook["metadata"].get("servelab", {})
            content = content_digest(notebook)
        except (UserError, KeyError, AttributeError):
            continue  # a damaged notebook cannot be recognised; it stays as it is
        if marks.get(original.kind) == original.lesson.name or (not marks and path.name in original.copy_names):
            found.append(Copy(path, content, marks.get(COPIED)))
    return sorted(found, key=lambda copy: (copy.path.stat().st_ctime_ns, copy.path.name))


def content_digest(notebook: Notebook) -> str:
    """A digest of what a person writes into a notebook.

    Outputs, execution counts and other traces of running it do not count, nor do the empty
    cells that JupyterLab adds after the last one.
    """
    cells = [cell for cell in notebook_file.strip(notebook)["cells"] if cell["source"].strip()]
    content = [[cell["cell_type"], cell["source"], cell["metadata"]] for cell in cells]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _with_links_from(work: Path, source: str, folder: Path) -> str:
    """The text with its links to files of the course leading there from ``work``."""

    def moved(link: re.Match[str]) -> str:
        target = folder / link["target"]
        if ":" in link["target"] or not target.exists():
            return link[0]
        resolved = Path(os.path.normpath(target))
        copies = {original.path: original.copy_name for original in originals()}
        return link["before"] + (copies.get(resolved) or Path(os.path.relpath(resolved, work)).as_posix())

    return LINK.sub(moved, source)


def _write_new(notebook: Notebook, work: Path, name: str) -> Path:
    number = 1
    while True:
        path = work / (name if number == 1 else f"{Path(name).stem}-{number}.ipynb")
        try:
            with path.open("x", encoding="utf-8", newline="\n") as copy:  # x: never an existing file
                copy.write(notebook_file.as_text(notebook))
        except FileExistsError:
            number += 1
        else:
            return path
