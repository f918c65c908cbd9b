"""``lesson("01")``: check what you wrote, ask for a hint, see the solution."""

from collections import Counter
from typing import Any

from helpers.classroom import notebook_file, outcome, regions
from helpers.classroom.checking import Attempt, LearnerRaised, NotYet, Task, is_blank
from helpers.classroom.lessons import LessonFiles, find_lesson
from helpers.classroom.outcome import Message
from helpers.classroom.progress import Progress
from helpers.errors import UserError


class Lesson:
    """The tasks of one lesson, from the learner's side."""

    def __init__(self, files: LessonFiles) -> None:
        self.files = files
        self.tasks = files.tasks
        self.progress = Progress()

    def check(self, name: str, answer: Any) -> Message:
        """Try what you wrote on fresh inputs."""
        task = self._task(name)
        # Every attempt gets other inputs, and the same ones whenever the exercise is run anew.
        attempt = self.files.name, name
        message = examine(self.files.number, task, answer, seed=_attempts[attempt])
        _attempts[attempt] += 1
        self.progress.record_check(self.files.name, name, message.kind)
        return message

    def hint(self, name: str) -> Message:
        """The next hint; each says more than the one before."""
        task = self._task(name)
        asked = self.files.name, name
        stage = min(_hints[asked], len(task.hints) - 1)
        _hints[asked] += 1
        self.progress.record_hint(self.files.name, name)
        more = "ask again for more" if stage + 1 < len(task.hints) else "that was the last"
        heading = f"{self.files.number} {name} · hint {stage + 1} of {len(task.hints)} ({more})"
        return Message(self.files.number, name, heading, (("", task.hints[stage]),))

    def solution(self, name: str) -> Message:
        """The code that the course's own tests execute for this task."""
        task = self._task(name)
        code = regions.solution_of(notebook_file.read(self.files.solution), task.name)
        self.progress.record_solution(self.files.name, name)
        return Message(self.files.number, name, f"{self.files.number} {name} · one solution", code=code)

    def __repr__(self) -> str:
        lines = [f"Lesson {self.files.number}: {self.files.title}"]
        lines += [f"  {task.name}: {task.title}" for task in self.tasks.values()]
        return "\n".join(lines)

    def _task(self, name: str) -> Task:
        if name not in self.tasks:
            there_are = ", ".join(self.tasks) or "none: this lesson has no exercise"
            raise UserError(f"Lesson {self.files.number} has no task {name!r}.", f"choose from: {there_are}")
        return self.tasks[name]


# By lesson and task. Kept for the life of the kernel and not of the object: lesson("01") is
# written in every cell.
_attempts: Counter[tuple[str, str]] = Counter()
_hints: Counter[tuple[str, str]] = Counter()


def lesson(wanted: str) -> Lesson:
    """A lesson by its number or its name."""
    return Lesson(find_lesson(wanted))


def examine(number: str, task: Task, answer: Any, seed: int) -> Message:
    """Run a task's check and say which of the four outcomes it is."""

    def say(kind: str, *lines: tuple[str, str]) -> Message:
        return Message(number, task.name, f"{number} {task.name} · {kind}", lines, kind=kind)

    ask = f'lesson("{number}").hint("{task.name}")'
    if is_blank(answer):
        return say(outcome.NOT_ATTEMPTED, ("To do", f"{task.title}. Put your code where the ... is."))
    try:
        task.check(Attempt(answer, seed))
    except NotYet as found:
        return say(outcome.NOT_YET, ("Seen", found.seen), ("Expected", found.expected), ("A hint", ask))
    except LearnerRaised as raised:
        what = f"{type(raised.error).__name__}: {raised.error}"
        where = (("Where", raised.where),) if raised.where else ()
        return say(outcome.RAISED, ("What", _first_lines(what)), *where, ("A hint", ask))
    return say(outcome.CORRECT, ("", task.learned))


def _first_lines(text: str, lines: int = 4, width: int = 300) -> str:
    """Frameworks raise pages; the beginning tells."""
    return " ".join(text.split("\n")[:lines])[:width]
