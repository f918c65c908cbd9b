"""The serving engine: a request's way is a straight corridor, and each room of it is a file.

``app`` (route, limits, deadline) → ``protocols`` (decode) → ``servable`` (check) → ``lane`` →
``scheduler`` (admit, group, order) → the model → encode.

>>> with serve("digits:prod") as server:  # doctest: +SKIP
...     print(server.address)
"""

from helpers.engine.batch_size import BatchSize
from helpers.engine.errors import EngineError
from helpers.engine.job import Job, Refused
from helpers.engine.lane import Lane
from helpers.engine.registry import Registry
from helpers.engine.scheduler import Scheduler
from helpers.engine.servable import Servable
from helpers.engine.server import Server, serve

__all__ = [
    "BatchSize",
    "EngineError",
    "Job",
    "Lane",
    "Refused",
    "Registry",
    "Scheduler",
    "Servable",
    "Server",
    "serve",
]
