"""Exercises are made from solutions, and from nothing else."""

from pathlib import Path

from helpers.classroom import notebook_file, regions
from helpers.classroom.notebook_file import Notebook
from helpers.places import EXERCISES, SOLUTIONS


def exercise_from(solution: Notebook, name: str) -> Notebook:
    """The exercise that belongs to a solution: the same cells, with the regions blank.

    ``name`` (say ``export``) is noted in the file, so that a learner's copy is
    recognised when the lesson gets another number.
    """
    exercise = notebook_file.strip(solution)
    for cell in notebook_file.code_cells(exercise):
        cell["source"] = regions.blank(cell["source"])
    exercise["metadata"]["servelab"] = {"exercise": name}
    return exercise


def build(solutions: Path = SOLUTIONS, exercises: Path = EXERCISES, write: bool = True) -> list[str]:
    """Make all exercises; return what differed before, one line each.

    With ``write`` off nothing is touched, and the lines are the drift.
    """
    wanted = {
        path.name: exercise_from(notebook_file.read(path), path.stem.partition("_")[2])
        for path in solutions.glob("*.ipynb")
    }
    present = {path.name: path.read_text("utf-8") for path in exercises.glob("*.ipynb")}
    differences = []
    for name in sorted(wanted.keys() | present.keys()):
        if name not in wanted:
            differences.append(f"{name}: no solution has this name")
            if write:
                (exercises / name).unlink()
        elif present.get(name) != notebook_file.as_text(wanted[name]):
            differences.append(f"{name}: " + ("differs from what its solution makes" if name in present else "is new"))
            if write:
                notebook_file.write(exercises / name, wanted[name])
    return differences
