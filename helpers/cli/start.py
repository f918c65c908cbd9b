"""``start NN``: a copy of an exercise to work in."""

import argparse

from helpers.classroom.lessons import find_lesson
from helpers.classroom.workbook import start
from helpers.places import ROOT

SUMMARY = "copy an exercise to work/ (never overwrites)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lesson", help="the lesson's number or name: 01, or export")
    parser.add_argument("--again", action="store_true", help="make one more copy beside those that are there")


def run(arguments: argparse.Namespace) -> int:
    started = start(find_lesson(arguments.lesson), arguments.again)
    shown = started.path.relative_to(ROOT) if started.path.is_relative_to(ROOT) else started.path
    if started.made:
        print(f"Your copy is {shown}. Open it in JupyterLab: python3 -m helpers lab")
    else:
        print(f"You have begun this exercise: {shown} is as you left it.")
        print(f"For one more copy: python3 -m helpers start {arguments.lesson} --again")
    return 0
