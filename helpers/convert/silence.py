"""Silence for exporters that say at length, in four places, what their error says once."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Hide warnings, logs and printed graphs inside the block; exceptions pass as ever.

    Use it where the outcome is looked at afterwards, not to overlook something.
    """
    log = logging.getLogger("torch")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
