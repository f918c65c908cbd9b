"""The serving engine: services, and who answers when. It knows no HTTP; ``helpers.serving`` brings the questions.

A question's way is a straight corridor, and each room of it is a file: ``endpoint`` (of a service's method) or
``servable`` (of a model in the store) checks it → ``lane`` takes it in → ``scheduler`` admits, groups and orders →
the method or model, with the rows of others → back.
"""

from helpers.engine.batch_size import BatchSize
from helpers.engine.composition import depends
from helpers.engine.job import Job, Refused
from helpers.engine.lane import Lane
from helpers.engine.registry import Registry
from helpers.engine.scheduler import Scheduler
from helpers.engine.servable import Servable
from helpers.engine.service import Batching, api, service, task
from helpers.wire.errors import EngineError, invalid
from helpers.wire.values import Image, Table, Tensor

__all__ = [
    "BatchSize",
    "Batching",
    "EngineError",
    "Image",
    "Job",
    "Lane",
    "Refused",
    "Registry",
    "Scheduler",
    "Servable",
    "Table",
    "Tensor",
    "api",
    "depends",
    "invalid",
    "service",
    "task",
]
