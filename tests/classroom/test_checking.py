"""The four outcomes of a check, never mixed up."""

import functools
import textwrap

import pytest

from helpers.classroom import outcome
from helpers.classroom.checking import Attempt, Task, is_blank, task
from helpers.classroom.outcome import MIME_TYPE, Message
from helpers.classroom.tutor import examine


@task("double", title="Double a number", hints=["a", "b"], learned="Twice is plus itself.")
def double(attempt: Attempt) -> None:
    number = int(attempt.rng.integers(1, 1000))
    given = attempt.call(number)
    attempt.expect_type(given, int, "the result")
    attempt.expect(given == 2 * number, f"{given} for {number}", "twice the number")


def outcome_of(answer: object, seed: int = 0) -> Message:
    return examine("42", double, answer, seed)


def test_correct() -> None:
    found = outcome_of(lambda number: number + number)
    assert found.kind == outcome.CORRECT and found
    assert "Twice is plus itself." in str(found)


def test_not_yet_says_what_was_seen_and_expected() -> None:
    found = outcome_of(lambda number: number + 1)
    assert found.kind == outcome.NOT_YET and not found
    assert "Seen: " in str(found) and "Expected: twice the number" in str(found)
    assert 'lesson("42").hint("double")' in str(found)


def test_every_attempt_sees_other_inputs() -> None:
    assert str(outcome_of(lambda number: 0, seed=0)) != str(outcome_of(lambda number: 0, seed=1))
    assert str(outcome_of(lambda number: 0, seed=1)) == str(outcome_of(lambda number: 0, seed=1))


def raises(number: int) -> int:
    doubled = number * 2
    return doubled / 0  # the line that is to be shown


def calls_raises(number: int) -> int:
    return max([number], key=raises)


class Raises:
    """Callable, as a torch module is."""

    def __call__(self, number: int) -> int:
        return raises(number)

    def method(self, number: int) -> int:
        return raises(number)


@pytest.mark.parametrize("answer", [raises, calls_raises, Raises(), Raises().method, functools.partial(raises)])
def test_the_learners_own_error_comes_with_the_learners_own_line(answer: object) -> None:
    found = outcome_of(answer)
    assert found.kind == outcome.RAISED
    assert "What: ZeroDivisionError: division by zero" in str(found)
    assert "of raises: return doubled / 0" in str(found)
    assert "checking.py" not in str(found)


def test_an_exit_is_the_learners_error_and_no_exit() -> None:
    def leaves(number: int) -> None:
        raise SystemExit(3)

    assert outcome_of(leaves).kind == outcome.RAISED


def test_an_interrupt_passes() -> None:
    def interrupted(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcome_of(interrupted)


def test_a_defect_of_the_check_is_not_blamed_on_the_learner() -> None:
    def defective(attempt: Attempt) -> None:
        raise RuntimeError("the check itself is broken")

    with pytest.raises(RuntimeError, match="the check itself"):
        examine("42", Task("x", "x", ("a",), "x", defective), lambda: 1, 0)


def not_written(number: int) -> int:
    """Twice the number."""
    ...


def begun(number: int) -> int:
    doubled = ...
    return doubled + number


class NotWritten:
    def double(self) -> int: ...


class Written:
    shape = (..., 3)

    def double(self, values: object) -> object:
        return values[..., 0]


@pytest.mark.parametrize("answer", [..., not_written, begun, NotWritten])
def test_not_attempted(answer: object) -> None:
    found = outcome_of(answer)
    assert found.kind == outcome.NOT_ATTEMPTED
    assert "Double a number" in str(found)


def test_an_ellipsis_in_an_index_is_no_blank() -> None:
    assert not is_blank(Written) and not is_blank(lambda x: x[...]) and not is_blank(None) and not is_blank(3)


def test_code_without_a_source_is_tried() -> None:
    names: dict[str, object] = {}
    exec(textwrap.dedent("def double(number):\n    return 2 * number"), names)
    assert outcome_of(names["double"]).kind == outcome.CORRECT


@pytest.mark.parametrize("junk", [None, 3, "x", [], object(), print, int, lambda: 1, lambda a, b: 1, lambda n: "x"])
def test_junk_is_not_yet_and_never_a_traceback(junk: object) -> None:
    assert outcome_of(junk).kind == outcome.NOT_YET


def test_a_message_is_text_html_and_data() -> None:
    message = Message(
        "42", "double", "42 double · not yet", (("Seen", "<b> & co"),), code="x < 1", kind=outcome.NOT_YET
    )
    bundle = message._repr_mimebundle_()
    assert bundle["text/plain"] == "42 double · not yet\n  Seen: <b> & co\n    x < 1"
    assert "&lt;b&gt; &amp; co" in bundle["text/html"] and "x &lt; 1" in bundle["text/html"]
    assert "not yet" in bundle["text/html"], "the outcome is said in words, not in colour alone"
    assert bundle[MIME_TYPE] == {"lesson": "42", "task": "double", "kind": outcome.NOT_YET}
