"""``build``: exercises from solutions, and notebooks without outputs."""

import argparse

from helpers.classroom import notebook_file
from helpers.classroom.generator import build
from helpers.places import LECTURES, SOLUTIONS

SUMMARY = "make the exercises from the solutions (for authors)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if anything would change")


def run(arguments: argparse.Namespace) -> int:
    write = not arguments.check
    differences = strip_outputs(write) + [f"exercises/{line}" for line in build(write=write)]
    for line in differences:
        print(("made: " if write else "differs: ") + line)
    if not differences:
        print("Nothing to do: the exercises are what the solutions make.")
    return 1 if differences and arguments.check else 0


def strip_outputs(write: bool) -> list[str]:
    """Take the outputs out of lectures and solutions; return which had any."""
    changed = []
    for path in sorted([*LECTURES.glob("*.ipynb"), *SOLUTIONS.glob("*.ipynb")]):
        stripped = notebook_file.strip(notebook_file.read(path))
        if notebook_file.as_text(stripped) != path.read_text("utf-8"):
            changed.append(f"{path.parent.name}/{path.name}: has outputs, or traces of an editor")
            if write:
                notebook_file.write(path, stripped)
    return changed
