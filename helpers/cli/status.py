"""``status``: what you have done so far. Kept on this machine only."""

import argparse

from helpers.classroom.lessons import LessonFiles, all_lessons
from helpers.classroom.outcome import CORRECT
from helpers.classroom.progress import Progress, Record
from helpers.classroom.workbook import EXERCISE, Original, is_begun
from helpers.cli.continue_as import continue_as
from helpers.cli.environment import Environment
from helpers.places import WORK

SUMMARY = "show your progress so far"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lesson", nargs="?", help="show the tasks of this lesson only")


def run(arguments: argparse.Namespace) -> int:
    from helpers.classroom.lessons import find_lesson

    environment = Environment()  # the checks of some lessons, which list their tasks, import its packages
    if environment.is_usable() and not environment.is_current():
        named = [arguments.lesson] if arguments.lesson else []
        return continue_as([str(environment.python), "-m", "helpers", "status", *named])
    for lesson in [find_lesson(arguments.lesson)] if arguments.lesson else all_lessons():
        print("\n".join(describe(lesson, Progress().of(lesson.name))))
    print("\nThis record is yours: it stays in .lab/ on this machine.")
    return 0


def describe(lesson: LessonFiles, done: dict[str, Record]) -> list[str]:
    """One lesson as lines: its state, then its tasks."""
    try:
        tasks = list(lesson.tasks)
    except ModuleNotFoundError:
        return [f"{lesson.number} {lesson.title}: known once the environment is made (python3 -m helpers setup)"]
    correct = sum(1 for name in tasks if done.get(name, {}).get("outcome") == CORRECT)
    if not tasks:
        state = "no exercise"
    elif not done and not is_begun(Original(lesson, EXERCISE), WORK):
        state = f"not begun: python3 -m helpers start {lesson.number}"
    else:
        state = f"{correct} of {len(tasks)} tasks correct"
    return [
        f"{lesson.number} {lesson.title}: {state}",
        *(describe_task(n, done[n]) for n in tasks if n in done),
    ]


def describe_task(name: str, record: Record) -> str:
    """One task as a line."""
    details = [_counted(record[f"{what}s"], what) for what in ("check", "hint") if record[f"{what}s"]]
    if record["solution_seen"]:
        details.append("solution seen")
    return f"   {name}: {record['outcome'] or 'not checked'} ({', '.join(details)})"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
