"""Silence for exporters that say at length, in four places, what their error says once."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

TALKATIVE = ("torch", "tf2onnx", "tensorflow", "skl2onnx")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Hide warnings, logs and printed graphs inside the block; exceptions pass as ever.

    Use it where the outcome is looked at afterwards, not to overlook something.
    """
    logs = [logging.getLogger(name) for name in TALKATIVE]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)
    nowhere = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stderr(nowhere),
            contextlib.redirect_stdout(nowhere),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
