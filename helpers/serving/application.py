"""All that answers, without a socket: an ASGI application, for whoever listens.

A server of ours listens for it (``server``). A platform that brings a server of its own calls it
as it would call any other: uvicorn, a cloud's functions (``asgi``).

    application = Application([Digits])  # uvicorn module:application
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.engine.composition import Services
from helpers.engine.lane import Lane
from helpers.engine.metrics import Metrics
from helpers.engine.registry import Registry
from helpers.engine.targets import Target
from helpers.engine.tasks import Tasks
from helpers.errors import UserError
from helpers.runtime.providers import use_device
from helpers.serving import (
    asgi,
    describe,
    native_routes,
    open_inference_routes,
    task_routes,
    tensorflow_serving_routes,
)
from helpers.serving.app import App
from helpers.serving.asgi import Receive, Send
from helpers.serving.turns import Counts
from helpers.store import Store


@dataclass(frozen=True)
class Settings:
    """How a server is run, whatever it serves."""

    threads: int = 1  # of ONNX Runtime, for each model
    finite_only: bool = False  # refuse NaN and infinite numbers
    largest_body: int = 64 << 20
    timeout: float = 30.0
    grace: int = 10  # seconds for what was accepted, when the server stops
    log_requests: bool = False
    device: str | None = None  # what models run on that name nothing else; without it, the process's default


@dataclass(frozen=True)
class Shared:
    """What the workers of one server have in common: two folders, in which each has its own files; and some numbers."""

    metrics: Path
    tasks: Path
    worker: str
    connections: Counts


class Application:
    """Some models and services: opened, asked, closed, all on one event loop."""

    def __init__(
        self,
        targets: Sequence[Target],
        store: Store | None = None,
        settings: Settings = Settings(),  # it is frozen
        shared: Shared | None = None,
    ) -> None:
        self.targets = list(targets)
        self.settings = settings
        if settings.device is not None:
            use_device(settings.device)
        self.registry = Registry(store, settings.threads, settings.finite_only)
        self.services = Services(self.registry)
        self.tasks = Tasks(shared.tasks if shared else None)
        self.metrics = Metrics(shared.metrics, shared.worker) if shared else Metrics()
        self.app = App(
            self.registry, self.metrics, self.tasks, settings.largest_body, settings.timeout, settings.log_requests
        )
        self.app.lanes = self.lanes
        open_inference_routes.add_to(self.app)
        tensorflow_serving_routes.add_to(self.app)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """What ASGI asks: a request, or to live for as long as its server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await asgi.answer(self.app, scope, receive, send)

    def lanes(self) -> dict[tuple[str, str], Lane]:
        """The queues of all models, and of all methods of services."""
        methods = (
            each
            for endpoints in self.services.endpoints.values()
            for each in endpoints.values()
            if not each.api.is_async and not each.api.streams and each.api.keep is None
        )
        return self.registry.lanes() | {(each.spec.name, each.api.name): each.lane for each in methods}

    async def open(self) -> None:
        """Load and warm up; from then on it is ready."""
        for target in self.targets:
            await self._take_in(target)
        services = [self.services.endpoints[each] for each in self.targets if not isinstance(each, str)]
        describe.add_to(self.app, [endpoint for endpoints in services for endpoint in endpoints.values()])
        self.app.ready = True

    async def close(self) -> None:
        """Give back what was opened, be it only a part."""
        self.app.ready = False
        await self.tasks.close()
        self.services.close()
        self.registry.close()

    async def _take_in(self, target: Target) -> None:
        if isinstance(target, str):
            await self.registry.load(target)
            return
        endpoints = (await self.services.start(target)).values()
        for endpoint in endpoints:
            native_routes.add_to(self.app, endpoint)
        if any(endpoint.api.keep is not None for endpoint in endpoints) and "tasks" not in self.app.routes:
            task_routes.add_to(self.app)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()  # the start is all that is told first
        try:
            await self.open()
        except UserError as error:
            await self.close()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})
