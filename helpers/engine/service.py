"""How a service is written: a class, its methods that are served, and the services that it asks itself.

    @service(timeout=2.0)
    class Digits:
        def __init__(self):
            self.model = store.load("digits:latest")

        @api(batching=Batching(largest=32))
        def classify(self, images: Tensor["float32", "batch", 1, 8, 8]) -> Tensor["float32", "batch", 10]:
            return self.model(images)

Nothing here serves. The class stays an ordinary class: ``Digits().classify(images)`` works
without a server, and so does a service that depends on others.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints, overload

import msgspec

from helpers.wire.values import JsonValue, Value, value_of

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__servelab__"


@dataclass(frozen=True)
class Batching:
    """That requests may go together, as rows of one call.

    ``largest`` is the most rows; within it the size is learned. ``window`` lets a request
    wait so many seconds for company, which is rarely worth it. ``target`` is how long a batch
    may take: a size that takes longer is not used again.
    """

    largest: int = 32
    window: float = 0.0
    target: float = math.inf

    def __post_init__(self) -> None:
        if not (self.largest >= 1 and self.window >= 0 and self.target > 0):
            raise TypeError(f"{self}: largest is 1 or more, window 0 or more, and target above 0")


@dataclass(frozen=True)
class Api:
    """One method that is served."""

    name: str
    method: Callable[..., Any]
    parameters: Mapping[str, Value]
    defaults: Mapping[str, Any]
    result: Value
    batching: Batching | None
    is_async: bool
    streams: bool
    keep: float | None  # seconds for which the result of a long-running task is kept
    help: str


@dataclass(frozen=True)
class ServiceSpec:
    """What is known of a service's class."""

    name: str
    cls: type
    apis: Mapping[str, Api]
    workers: int
    threads: int
    timeout: float
    most_waiting: int
    finite_only: bool
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Marked:
    batching: Batching | None
    keep: float | None = None


@overload
def api(method: F) -> F: ...
@overload
def api(*, batching: Batching | None = None) -> Callable[[F], F]: ...
def api(method: Any = None, *, batching: Batching | None = None) -> Any:
    """Serve this method. A generator is streamed; one that is slow or waits for others is best ``async``."""
    return _marked(_Marked(batching), method)


@overload
def task(method: F) -> F: ...
@overload
def task(*, keep: float = 3600.0) -> Callable[[F], F]: ...
def task(method: Any = None, *, keep: float = 3600.0) -> Any:
    """Serve this method as a long-running task: submit, ask how it is, fetch the result or cancel.

    The result is kept for ``keep`` seconds after the end. One that is an ordinary function cannot be
    interrupted; of a generator each item is progress, and the last the result.
    """
    if not keep >= 0:
        raise TypeError(f"keep={keep}: a result is kept for 0 seconds or more")
    return _marked(_Marked(None, keep), method)


def service(
    cls: Any = None,
    *,
    name: str | None = None,
    workers: int = 1,
    threads: int = 1,
    timeout: float = 30.0,
    most_waiting: int = 1024,
    finite_only: bool = False,
    files: Sequence[str] = (),
) -> Any:
    """Make a class a service.

    ``threads`` is how many calls of one method may run at once, ``timeout`` how many seconds a
    caller waits at most, ``most_waiting`` how many rows may wait for a method before further
    ones are turned away. ``finite_only`` refuses NaN and infinite numbers in tensors. ``files`` names
    what a bundle of the service must hold besides its code: files, folders or patterns such as
    ``data/*.txt``, relative to the service's module.
    """

    def mark(cls: C) -> C:
        if not isinstance(cls, type):
            raise TypeError(f"@service is put before a class, and its settings are named; it got {cls!r}")
        if not (min(workers, threads, most_waiting) >= 1 and timeout > 0):
            raise TypeError(f"{cls.__name__}: workers, threads and most_waiting are 1 or more, and timeout above 0")
        if isinstance(files, str) or not all(isinstance(each, str) for each in files):
            raise TypeError(f"{cls.__name__}: files is {files!r}; it is a list of paths, as in files=['labels.txt']")
        apis = {}
        for attribute, method in inspect.getmembers_static(cls):
            marked = getattr(getattr(method, "__func__", method), _MARK, None)
            if isinstance(marked, _Marked):
                apis[attribute] = _api_of(attribute, method, marked, cls)
        if not apis:
            raise TypeError(f"{cls.__name__} serves nothing: mark a method with @api")
        numbers = (workers, threads, timeout, most_waiting)
        spec = ServiceSpec(name or cls.__name__, cls, apis, *numbers, finite_only, tuple(files))
        setattr(cls, _MARK, spec)
        return cls

    return mark if cls is None else mark(cls)


def spec_of(cls: Any) -> ServiceSpec | None:
    """What is known of a service's class; None if it is none."""
    spec = cls.__dict__.get(_MARK) if isinstance(cls, type) else None
    return spec if isinstance(spec, ServiceSpec) else None


def _marked(mark: _Marked, method: Any) -> Any:
    def put(method: F) -> F:
        if not inspect.isfunction(method):
            raise TypeError(
                f"@api and @task are put before an ordinary method, and settings named; they got {method!r}"
            )
        setattr(method, _MARK, mark)
        return method

    return put if method is None else put(method)


def _api_of(name: str, method: Callable[..., Any], marked: _Marked, cls: type) -> Api:
    where = f"{cls.__name__}.{name}"
    if not inspect.isfunction(method) or not inspect.signature(method).parameters:
        raise TypeError(f"{where}: an API is an ordinary method, with self")
    try:
        hints = get_type_hints(method, include_extras=True)
    except (NameError, AttributeError, SyntaxError) as error:
        raise TypeError(f"{where}: an annotation cannot be read: {error}") from None
    _, *parameters = inspect.signature(method).parameters.values()
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise TypeError(f"{where}: an API's parameters are ordinary ones; {parameter} is not")
        if parameter.name not in hints:
            raise TypeError(
                f"{where}: say what {parameter.name} is, as in {parameter.name}: Tensor['float32', 'batch']"
            )
    streams = inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method)
    result = hints.get("return", Any)
    if streams:
        result = (get_args(result) or (Any,))[0]
    found = Api(
        name=name,
        method=method,
        parameters={each.name: _value_of(hints[each.name], each.name, where) for each in parameters},
        defaults={each.name: each.default for each in parameters if each.default is not each.empty},
        result=value_of(result, f"the answer of {where}"),
        batching=marked.batching,
        is_async=inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method),
        streams=streams,
        keep=marked.keep,
        help=inspect.getdoc(method) or "",
    )
    _expect_rows(found, where)
    return found


def _value_of(annotation: Any, name: str, where: str) -> Value:
    found = value_of(annotation, name)
    if isinstance(found, JsonValue):
        try:  # each refuses some of what cannot come as JSON
            msgspec.json.Decoder(found.type)
            msgspec.json.schema(found.type)
        except TypeError:
            raise TypeError(f"{where}: {name} is {found.type}, which cannot be read from JSON") from None
    return found


def _expect_rows(api: Api, where: str) -> None:
    """A batch is made of rows: each value must have some, and the method must be one that answers at once."""
    if api.batching is None:
        return
    if api.is_async or api.streams:
        raise TypeError(f"{where}: only an ordinary method can be batched, neither async nor a generator")
    for name, value in api.parameters.items():
        if not value.has_rows:
            raise TypeError(f"{where}: {name} has no rows to batch; its first axis needs a name, or it a list")
    if not api.parameters or api.defaults:
        raise TypeError(f"{where}: a batched method needs parameters, and none of them may have a default")
    told = api.result.type if isinstance(api.result, JsonValue) else None
    if not (api.result.has_rows or told is Any or (get_origin(told) or told) in (tuple, dict)):
        raise TypeError(
            f"{where}: the answer to a batch needs a row for each of its rows; its annotation promises none"
        )
