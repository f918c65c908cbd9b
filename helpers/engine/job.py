"""One request in a queue, and what it is told if there is no place for it."""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

PATIENCE = 10.0  # seconds after which a request without a deadline counts as urgent

_numbers = count()


@dataclass(eq=False, slots=True)
class Job:
    """One request in the queue. ``work`` is the owner's own affair."""

    rows: int
    kind: Hashable = None
    deadline: float = math.inf
    work: Any = None
    has_left: Callable[[], bool] | None = None  # asks whether its caller still waits
    cancelled: bool = False
    arrived: float = 0.0
    number: int = field(default_factory=_numbers.__next__)

    @property
    def is_unwanted(self) -> bool:
        """True if nobody waits for the answer any more."""
        return self.cancelled or (self.has_left is not None and self.has_left())

    @property
    def urgency(self) -> tuple[float, int]:
        """The smaller, the sooner; of two alike, who came first."""
        return min(self.deadline, self.arrived + PATIENCE), self.number


class Refused(Exception):
    """A request that is not taken in. ``reason`` is full or late; ``retry_after`` is in seconds."""

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(reason, retry_after)
        self.reason = reason
        self.retry_after = retry_after
