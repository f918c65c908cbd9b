"""The serving engine: a request's way is a straight corridor, and each room of it is a file.

``app`` (route, limits) → ``protocols`` (decode) → ``endpoint`` or ``servable`` (check) →
``lane`` → ``scheduler`` (admit, group, order) → the method or model → encode.

>>> with serve(Digits) as server:  # doctest: +SKIP
...     server.client.classify(images)
"""

from helpers.engine.application import Application, Settings
from helpers.engine.batch_size import BatchSize
from helpers.engine.client import AsyncClient, Client, ServiceError
from helpers.engine.composition import depends
from helpers.engine.errors import EngineError, invalid
from helpers.engine.job import Job, Refused
from helpers.engine.lane import Lane
from helpers.engine.registry import Registry
from helpers.engine.scheduler import Scheduler
from helpers.engine.servable import Servable
from helpers.engine.server import Server, serve
from helpers.engine.service import Batching, api, service, task
from helpers.engine.values import Image, Table, Tensor

__all__ = [
    "Application",
    "AsyncClient",
    "BatchSize",
    "Batching",
    "Client",
    "EngineError",
    "Image",
    "Job",
    "Lane",
    "Refused",
    "Registry",
    "Scheduler",
    "Servable",
    "Server",
    "ServiceError",
    "Settings",
    "Table",
    "Tensor",
    "api",
    "depends",
    "invalid",
    "serve",
    "service",
    "task",
]
