"""What a lesson's checks are written with.

    @task("dynamic_batch", title="Any batch size", hints=["…"], learned="…")
    def dynamic_batch(attempt: Attempt) -> None:
        path = attempt.call(model, folder / "digits.onnx")
        attempt.expect(runs(path, 7), seen="…", expected="…")

A check runs what the learner wrote through ``attempt.call`` and states what it
wants with ``attempt.expect``. That keeps the four outcomes apart: what goes wrong
inside the learner's code is never taken for a wrong answer, and a defect of the
check itself is never blamed on the learner.
"""

import ast
import functools
import inspect
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class NotYet(Exception):
    """The learner's object does something else than it should."""

    def __init__(self, seen: str, expected: str) -> None:
        super().__init__(seen, expected)
        self.seen = seen
        self.expected = expected


class LearnerRaised(Exception):
    """The learner's own code raised an exception."""

    def __init__(self, error: BaseException, where: str) -> None:
        super().__init__(error, where)
        self.error = error
        self.where = where


@dataclass
class Attempt:
    """One checking of one object: the object, and fresh inputs to try it on."""

    answer: Any
    seed: int

    @functools.cached_property
    def rng(self) -> "np.random.Generator":
        import numpy as np

        return np.random.default_rng(self.seed)

    def call(self, *arguments: Any, **named: Any) -> Any:
        """Call the learner's function; tell its failures from those of the check."""
        return self.call_other(self.answer, *arguments, **named)

    def call_other(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """The same for another thing of the learner's: a method of an object, say."""
        if not callable(function):
            raise NotYet(f"{_short(function)}, which cannot be called", "a function")
        try:
            inspect.signature(function).bind(*arguments, **named)
        except TypeError as error:
            raise NotYet(
                f"the function cannot be called with the arguments of the task: {error}",
                "the parameters that the exercise gives it",
            ) from None
        except ValueError:
            pass  # some built-in functions have no signature to look at
        try:
            return function(*arguments, **named)
        except (Exception, SystemExit) as error:
            raise LearnerRaised(error, _learner_line(error.__traceback__, function)) from error

    def expect(self, holds: object, seen: str, expected: str) -> None:
        """End the check here unless the condition holds."""
        if not holds:
            raise NotYet(seen, expected)

    def expect_type(self, value: Any, wanted: type | tuple[type, ...], called: str) -> None:
        """End the check here unless the value is of the type."""
        names = " or ".join(t.__name__ for t in (wanted if isinstance(wanted, tuple) else (wanted,)))
        self.expect(isinstance(value, wanted), f"{called} is {_short(value)}", f"a {names}")


@dataclass(frozen=True)
class Task:
    """One thing to do in an exercise, and how it is checked."""

    name: str
    title: str
    hints: Sequence[str]
    learned: str
    check: Callable[[Attempt], None]


def task(name: str, title: str, hints: Sequence[str], learned: str) -> Callable[[Callable[[Attempt], None]], Task]:
    """Make a check function into a task of the lesson whose module it stands in."""
    return lambda check: Task(name, title, tuple(hints), learned, check)


def is_blank(answer: Any) -> bool:
    """True if the exercise's ``...`` is still there: as the value, or as a statement of the code."""
    if answer is ...:
        return True
    if inspect.isclass(answer):  # Python finds no source for a class made in a notebook, but for its methods
        return any(inspect.isfunction(method) and is_blank(method) for method in vars(answer).values())
    if not inspect.isfunction(answer):
        return False
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(answer)))
    except (OSError, TypeError, SyntaxError):
        return False  # typed at a prompt, or made by a decorator: let the check look at it
    return any(
        isinstance(node, (ast.Expr, ast.Assign, ast.Return))
        and isinstance(node.value, ast.Constant)
        and node.value.value is ...
        for node in ast.walk(tree)
    )


def _learner_line(trace: TracebackType | None, function: Any) -> str:
    """The last line of the learner's that ran, as ``line 3: the code``."""
    theirs = _names_around(function)
    last = ""
    for frame, line in traceback.walk_tb(trace):
        if frame.f_globals is theirs:
            summary = traceback.StackSummary.extract(iter([(frame, line)]), lookup_lines=True)[0]
            last = f"line {line} of {frame.f_code.co_name}: {(summary.line or '').strip()}"
    return last


def _names_around(function: Any) -> dict[str, Any] | None:
    """The module-level names that the learner's code runs among; it is known by them."""
    if isinstance(function, functools.partial):
        return _names_around(function.func)
    plain = inspect.unwrap(getattr(function, "__func__", function))
    if hasattr(plain, "__globals__"):
        names: dict[str, Any] = plain.__globals__
        return names
    # A class, or an object that can be called, such as a torch module.
    made_by = function if inspect.isclass(function) else type(function)
    module = sys.modules.get(made_by.__module__)
    return vars(module) if module else None


def _short(value: Any, limit: int = 80) -> str:
    text = f"{type(value).__name__} {value!r}"
    return text if len(text) <= limit else text[: limit - 1] + "…"
