"""The serving engine. So far: who runs next, with whom, and who is turned away.

A request goes down one straight corridor, and each room of it is a file that can be read
alone. The scheduler is the room in the middle: pure logic, with no clock of its own.
"""

from helpers.engine.batch_size import BatchSize
from helpers.engine.scheduler import Job, Refused, Scheduler

__all__ = ["BatchSize", "Job", "Refused", "Scheduler"]
