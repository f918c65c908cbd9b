"""Services that ask others: ``depends`` in the class, and who is started in which order.

    @service
    class Vote:
        forest = depends(Forest)
        digits = depends("digits:prod")

        @api
        async def vote(self, images: Tensor["float32", "batch", 64]) -> Tensor["float32", "batch", 10]:
            one, other = await asyncio.gather(self.forest.classify(images), self.digits(images))
            return (one + other) / 2

A call goes through the other's queue, in this process: batched with other callers' rows, and
given up when this service's own caller gives up.
"""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np

from helpers.engine.endpoint import Caller, Endpoint, current_caller
from helpers.engine.registry import Registry
from helpers.engine.service import ServiceSpec, spec_of
from helpers.errors import UserError
from helpers.store import Store
from helpers.wire.errors import EngineError


def depends(target: Any) -> Any:
    """Another service's class, or the tag of an ONNX model in the store. Gives a handle to await."""
    if not isinstance(target, str) and spec_of(target) is None:
        raise TypeError(f"depends({target!r}): name a class that is a @service, or a tag of the store")
    return _Dependency(target)


class _Dependency:
    """The attribute of the class. A server puts the handle into the instance, where Python finds it first."""

    def __init__(self, target: Any) -> None:
        self.target = target
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        direct = _DirectModel(self.target) if isinstance(self.target, str) else _DirectService(self.target())
        instance.__dict__[self.name] = direct
        return direct


class ServiceHandle:
    """Another service: its methods, to be awaited, or iterated over if they are generators."""

    def __init__(self, endpoints: dict[str, Endpoint]) -> None:
        self._endpoints = endpoints

    def __getattr__(self, name: str) -> Callable[..., Any]:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise AttributeError(f"no API called {name!r}; there are {', '.join(self._endpoints)}")

        def call(*given: Any, **named: Any) -> Any:
            values = endpoint.checked(_by_name(list(endpoint.api.parameters), given, named))
            outer = current_caller.get()
            caller = Caller(min(outer.deadline, time.monotonic() + endpoint.spec.timeout), outer.has_left)
            return endpoint.stream(values, caller) if endpoint.api.streams else endpoint.call(values, caller)

        return call


class ModelHandle:
    """A model of the store: whichever version is loaded when it is asked."""

    def __init__(self, registry: Registry, name: str) -> None:
        self._registry, self._name = registry, name

    async def __call__(self, *arrays: np.ndarray, **named: np.ndarray) -> Any:
        caller = current_caller.get()
        try:
            model = self._registry.find(self._name)
        except EngineError as error:  # it was unloaded: no fault of our caller's
            raise EngineError("unavailable", error.message, retry_after=1.0) from None
        inputs = _by_name([spec.name for spec in model.inputs], arrays, named)
        answers = tuple((await model.infer(inputs, caller.deadline, caller.has_left)).values())
        return answers[0] if len(answers) == 1 else answers


def _by_name(names: Sequence[str], given: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """A call's values by their names, as Python would have them."""
    left = names[len(given) :]
    if len(given) > len(names) or not named.keys() <= set(left):
        told = ", ".join(names) or "nothing"
        raise TypeError(
            f"it takes {told}, each once; it got {len(given)} without a name, and {', '.join(named) or 'none'}"
        )
    return dict(zip(names, given, strict=False)) | dict(named)


class _DirectService:
    """The same without a server: the method itself."""

    def __init__(self, instance: Any) -> None:
        self._instance = instance

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._instance, name)
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            return method  # type: ignore[no-any-return]
        if inspect.isgeneratorfunction(method):
            return lambda *given, **named: _stepwise(method(*given, **named))
        return lambda *given, **named: asyncio.to_thread(method, *given, **named)


class _DirectModel:
    def __init__(self, tag: str) -> None:
        self._model = Store().load(tag)

    def __call__(self, *arrays: np.ndarray, **named: np.ndarray) -> Awaitable[Any]:
        names = [spec.name for spec in self._model.inputs]
        return asyncio.to_thread(self._model, *map(_by_name(names, arrays, named).get, names))


async def _stepwise(items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


class Services:
    """The services of one server, each made once, whoever asks it."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.endpoints: dict[type, dict[str, Endpoint]] = {}

    async def start(self, cls: type, asked_by: tuple[type, ...] = ()) -> dict[str, Endpoint]:
        """A service's methods, ready to be asked; what it depends on is started before it."""
        if cls in asked_by:
            circle = " → ".join(each.__name__ for each in (*asked_by, cls))
            raise UserError(f"These services depend on each other in a circle: {circle}.", "cut it somewhere.")
        if cls in self.endpoints:
            return self.endpoints[cls]
        spec = spec_of(cls)
        assert spec is not None
        instance: Any = object.__new__(cls)
        for name, dependency in inspect.getmembers_static(cls, lambda each: isinstance(each, _Dependency)):
            instance.__dict__[name] = await self._handle(dependency.target, (*asked_by, cls))
        await asyncio.to_thread(_initialise, instance, spec)
        endpoints = {name: Endpoint(spec, found, instance) for name, found in spec.apis.items()}
        self.endpoints[cls] = endpoints
        return endpoints

    def close(self) -> None:
        """The last that was started first: nobody asks one that is gone."""
        for endpoints in reversed(self.endpoints.values()):
            for endpoint in endpoints.values():
                endpoint.close()
        self.endpoints.clear()

    async def _handle(self, target: Any, asked_by: tuple[type, ...]) -> ServiceHandle | ModelHandle:
        if isinstance(target, str):
            return ModelHandle(self.registry, (await self.registry.load(target)).name)
        return ServiceHandle(await self.start(target, asked_by))


def _initialise(instance: Any, spec: ServiceSpec) -> None:
    try:
        instance.__init__()
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"The service {spec.name} cannot start: {type(error).__name__}: {error}.",
            f"call {spec.cls.__name__}() in Python to see where.",
        ) from error
