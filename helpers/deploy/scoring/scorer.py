"""A service, or a model of the store, that is asked for the rows of a file: the same calls as behind HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from helpers.engine.composition import Services
from helpers.engine.endpoint import Caller, Endpoint
from helpers.engine.registry import Registry
from helpers.engine.servable import Servable
from helpers.engine.service import Api, spec_of
from helpers.engine.targets import name_of, resolve
from helpers.errors import UserError
from helpers.runtime import TensorSpec
from helpers.serving.server import new_loop
from helpers.wire.values import JsonValue, TableValue, TensorValue, Value

Columns = dict[str, NDArray[Any]]
SCALARS = {int: "int64", float: "float64", bool: "bool", str: "object"}
MOST_ROWS = 1024  # in a call, unless the service lets fewer wait


class Scorer:
    """Opened once and asked in batches; ``inputs`` and ``outputs`` are columns by name."""

    def __init__(self, named: str, folder: Path | None = None, api: str | None = None) -> None:
        target = resolve(named, folder)
        self.name = name_of(target)
        self.most_rows = MOST_ROWS
        self._ask: Callable[[Columns], Awaitable[Columns]]
        self._runner = asyncio.Runner(loop_factory=new_loop)
        self._services = Services(Registry())
        try:
            if isinstance(target, str):
                self._use_model(self._runner.run(self._services.registry.load(target)), api)
            else:
                self._use_method(_chosen(target, api), self._runner.run(self._services.start(target)))
        except BaseException:
            self.close()
            raise

    def ask(self, columns: Columns) -> Columns:
        """The answers' columns, for as many rows as the columns have."""
        rows = len(next(iter(columns.values())))
        # Not the runner's own run, which for each call sets up and takes down what Ctrl+C does.
        answers = self._runner.get_loop().run_until_complete(self._answers(columns))
        if any(len(answer) != rows for answer in answers.values()):
            raise TypeError(f"{self.name} did not answer each row")
        return answers

    def close(self) -> None:
        self._services.close()
        self._services.registry.close()
        self._runner.close()

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def _answers(self, columns: Columns) -> Columns:
        return await self._ask(columns)

    def _use_model(self, model: Servable, api: str | None) -> None:
        if api is not None:
            raise UserError(f"{self.name} is a model, and has no APIs to choose from.", "leave --api out.", 2)
        if not model.batched:
            raise UserError(
                f"{self.name} takes no batches: the first axis of its inputs or outputs is fixed.",
                "export it with a batch axis of any size.",
            )
        self.inputs = {spec.name: spec for spec in model.inputs}
        self.outputs = {spec.name: spec for spec in model.outputs}
        self._ask = model.infer

    def _use_method(self, api: Api, endpoints: Mapping[str, Endpoint]) -> None:
        endpoint = endpoints[api.name]
        self.most_rows = min(MOST_ROWS, endpoint.spec.most_waiting)
        self.inputs = {name: spec for value in api.parameters.values() for name, spec in _columns_of(value).items()}
        self.outputs = _promised(api)

        async def ask(columns: Columns) -> Columns:
            named = {}
            for name, value in api.parameters.items():
                own = {column: columns[column] for column in _columns_of(value)}
                named[name] = own if isinstance(value, TableValue) else own[name]
            values = endpoint.checked(named)
            answer = await endpoint.call(values, Caller())  # nobody waits: no deadline
            if isinstance(answer, Mapping):
                return dict(answer)
            (spec,) = self.outputs.values()
            if isinstance(answer, list):
                assert spec.dtype is not None
                answer = np.array(answer, spec.dtype)
            return {api.name: answer}

        self._ask = ask


def _chosen(target: type, name: str | None) -> Api:
    """The API that is asked: the one that is named, or the only one that takes rows."""
    spec = spec_of(target)
    assert spec is not None
    able = {api.name: api for api in spec.apis.values() if _takes_rows(api)}
    if name is not None:
        if name not in able:
            told = ", ".join(able) or "none"
            raise UserError(f"{spec.name} has no API {name!r} that takes rows of a file.", f"those that do: {told}.", 2)
        return able[name]
    batched = [api for api in able.values() if api.batching] or list(able.values())
    if len(batched) > 1:
        raise UserError(
            f"{spec.name} has several APIs that take rows.",
            f"choose one: --api {' or --api '.join(api.name for api in batched)}",
            2,
        )
    if not batched:
        raise UserError(
            f"{spec.name} has no API that takes rows of a file.",
            'let one take tensors whose first axis has a name, or a table: Tensor["float32", "batch", 4].',
        )
    return batched[0]


def _takes_rows(api: Api) -> bool:
    values = api.parameters.values()
    rows = all(isinstance(value, TensorValue | TableValue) and value.has_rows for value in values)
    return bool(values) and rows and not api.streams and api.keep is None


def _columns_of(value: Value) -> dict[str, TensorSpec]:
    """The columns that fill one parameter: a table's own, and for a tensor one of its name."""
    assert isinstance(value, TensorValue | TableValue)
    return dict(value.specs) if isinstance(value, TableValue) else {value.spec.name: value.spec}


def _promised(api: Api) -> dict[str, TensorSpec]:
    """The columns of the answer, known from the annotation: each part of the output has the same."""
    match api.result:
        case TensorValue(spec) if api.result.has_rows:
            return {api.name: spec}
        case TableValue() as table:
            return dict(table.specs)
        case JsonValue(type=told) if api.result.has_rows and get_args(told)[:1] and get_args(told)[0] in SCALARS:
            return {api.name: TensorSpec(api.name, np.dtype(SCALARS[get_args(told)[0]]), ("rows",))}
    raise UserError(
        f"{api.name} does not say what it answers for a row.",
        'annotate its answer: -> Tensor["float32", "batch"], a Table, or list[float].',
    )
