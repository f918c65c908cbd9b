"""Model files under examination: opened, run and compared, with each failure as an outcome."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.classroom.checking import Attempt, NotYet

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

CLOSE = 1e-4


@contextmanager
def folder_of_its_own() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="servelab-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def open_session(path: Path) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The file as it is, and not as this runtime would improve it: an optimiser takes a Dropout out
    # that another runtime would run.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # what goes wrong is told as an outcome, not in a log
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def open_answer(attempt: Attempt, path: Path) -> "onnxruntime.InferenceSession":
    attempt.expect(path.is_file(), "no file at the path that was given", "the exported model there")
    try:
        return open_session(path)
    except Exception as error:
        raise NotYet(f"a file that ONNX Runtime cannot open: {first_line(error, path.parent)}", "a model") from None


def expect_names(attempt: Attempt, given: list[str], wanted: list[str], what: str) -> None:
    attempt.expect(given == wanted, f"{what}s called {given}", f"{what}s called {wanted}")


def expect_same(attempt: Attempt, wanted: "NDArray[Any]", given: "NDArray[Any]", what: str) -> None:
    attempt.expect(wanted.shape == given.shape, f"{what} has shape {given.shape}", f"shape {wanted.shape}")
    attempt.expect(
        apart(wanted, given) < CLOSE,
        f"{what} is up to {apart(wanted, given):.2g} away from the original's",
        f"agreement to {CLOSE}",
    )


def apart(wanted: "NDArray[Any]", given: "NDArray[Any]") -> float:
    """The largest difference; infinite where the shapes differ."""
    import numpy as np

    if wanted.shape != given.shape:
        return float("inf")
    return float(np.abs(wanted.astype("float64") - given.astype("float64")).max())


def root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def last_cause(error: BaseException) -> str:
    return first_line(root_cause(error))


def first_line(error: BaseException, folder: Path | None = None) -> str:
    """An error's first line, without the name of the check's own folder."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return (text.replace(str(folder), "") if folder else text)[:200]
