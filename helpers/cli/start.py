"""``start NN``: a copy of an exercise, or of a lecture, to work in."""

import argparse

from helpers.classroom.lessons import find_lesson
from helpers.classroom.workbook import EXERCISE, LECTURE, Original, start
from helpers.places import ROOT, WORK

SUMMARY = "copy an exercise to work/ (never overwrites)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lesson", help="the lesson's number or name: 01, or export")
    parser.add_argument("--lecture", action="store_true", help="copy the lecture instead of the exercise")
    parser.add_argument("--again", action="store_true", help="make one more copy beside those that are there")


def run(arguments: argparse.Namespace) -> int:
    original = Original(find_lesson(arguments.lesson), LECTURE if arguments.lecture else EXERCISE)
    started = start(original, WORK, arguments.again)
    shown = started.path.relative_to(ROOT) if started.path.is_relative_to(ROOT) else started.path
    if not started.edited:
        print(f"Your copy is {shown}. Open it in JupyterLab: python3 -m helpers lab")
    else:
        print(f"You have begun this {original.kind}: {shown} is as you left it.")
        if started.outdated:
            print("The course has a newer version of it.")
        print(f"For one more copy: {again_command(original)}")
    return 0


def again_command(original: Original) -> str:
    """The command that puts a new copy beside the learner's."""
    lecture = " --lecture" if original.kind == LECTURE else ""
    return f"python3 -m helpers start {original.lesson.number}{lecture} --again"
