"""A client for a served service: its APIs as methods. Needs httpx.

>>> with Client(server.address) as client:  # doctest: +SKIP
...     client.classify(images)                     # a lone tensor goes and comes as numpy's own bytes
...     client.describe(text="…", top=3)            # anything else as JSON
...     list(client.stream("generate", prompt="…"))
...     client.submit("render", scene="…").result()

``AsyncClient`` is the same with ``await``.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import numpy as np

from helpers.installed import expect_installed
from helpers.wire.errors import STATUS
from helpers.wire.native import JSON, NPY, npy, to_json, to_npy

PATIENCE = 60.0
_EVENTS = {"accept": "text/event-stream"}


class ServiceError(Exception):
    """What a server refused: its status and code, and the field if one is to blame.

    Where a stream breaks off, the status is the one that it would have had.
    """

    def __init__(self, status: int, told: dict[str, Any]) -> None:
        super().__init__(told.get("error", "no reason was given"))
        self.code = told.get("code", "")
        self.status = STATUS.get(self.code, status)
        self.field = told.get("field")

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.args[0]}"


class Client:
    """Asks and waits."""

    def __init__(self, address: str, timeout: float = PATIENCE) -> None:
        expect_installed("The client", ["httpx"])
        import httpx

        self.http = httpx.Client(base_url=address, timeout=timeout)

    def __getattr__(self, api: str) -> Any:
        if api.startswith("_"):
            raise AttributeError(api)
        return partial(self.call, api)

    def call(self, api: str, /, *given: Any, **named: Any) -> Any:
        """One API's answer; ServiceError if it is refused."""
        return _read(self.http.post(f"/{api}", **_question(given, named)))

    def stream(self, api: str, /, *given: Any, **named: Any) -> Iterator[Any]:
        """The items of an API that streams, as they come."""
        with self.http.stream("POST", f"/{api}", **_question(given, named, _EVENTS)) as answer:
            if answer.is_error:
                answer.read()
                _read(answer)
            events = _Events()
            for part in answer.iter_bytes():
                yield from events.take(part)
            events.expect_end()

    def submit(self, api: str, /, *given: Any, **named: Any) -> "Task":
        """Start a long-running one."""
        return Task(self, self.call(api, *given, **named)["task"])

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Task:
    """A task that was submitted."""

    def __init__(self, client: Client, number: str) -> None:
        self.client = client
        self.number = number

    def state(self) -> dict[str, Any]:
        """How it is: ``state`` is waiting, running, done, failed, cancelled or lost."""
        told: dict[str, Any] = _read(self.client.http.get(f"/tasks/{self.number}"))
        return told

    def cancel(self) -> None:
        _read(self.client.http.delete(f"/tasks/{self.number}"))

    def result(self, timeout: float = PATIENCE, every: float = 0.1) -> Any:
        """Wait for the end, and fetch what came of it."""
        ends = time.monotonic() + timeout
        while self.state()["state"] in ("waiting", "running"):
            if time.monotonic() > ends:
                raise TimeoutError(f"the task {self.number} still runs after {timeout:g} seconds")
            time.sleep(every)
        return _read(self.client.http.get(f"/tasks/{self.number}/result"))


class AsyncClient:
    """Asks, and lets others work meanwhile."""

    def __init__(self, address: str, timeout: float = PATIENCE, connections: int = 100) -> None:
        expect_installed("The client", ["httpx"])
        import httpx

        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self.http = httpx.AsyncClient(base_url=address, timeout=timeout, limits=limits)

    def __getattr__(self, api: str) -> Any:
        if api.startswith("_"):
            raise AttributeError(api)
        return partial(self.call, api)

    async def call(self, api: str, /, *given: Any, **named: Any) -> Any:
        """One API's answer; ServiceError if it is refused."""
        return _read(await self.http.post(f"/{api}", **_question(given, named)))

    async def stream(self, api: str, /, *given: Any, **named: Any) -> AsyncIterator[Any]:
        """The items of an API that streams, as they come."""
        async with self.http.stream("POST", f"/{api}", **_question(given, named, _EVENTS)) as answer:
            if answer.is_error:
                await answer.aread()
                _read(answer)
            events = _Events()
            async for part in answer.aiter_bytes():
                for item in events.take(part):
                    yield item
            events.expect_end()

    async def submit(self, api: str, /, *given: Any, **named: Any) -> "AsyncTask":
        """Start a long-running one."""
        return AsyncTask(self, (await self.call(api, *given, **named))["task"])

    async def close(self) -> None:
        await self.http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncTask:
    """A task that was submitted."""

    def __init__(self, client: AsyncClient, number: str) -> None:
        self.client = client
        self.number = number

    async def state(self) -> dict[str, Any]:
        """How it is: ``state`` is waiting, running, done, failed, cancelled or lost."""
        told: dict[str, Any] = _read(await self.client.http.get(f"/tasks/{self.number}"))
        return told

    async def cancel(self) -> None:
        _read(await self.client.http.delete(f"/tasks/{self.number}"))

    async def result(self, timeout: float = PATIENCE, every: float = 0.1) -> Any:
        """Wait for the end, and fetch what came of it."""
        async with asyncio.timeout(timeout):
            while (await self.state())["state"] in ("waiting", "running"):
                await asyncio.sleep(every)
        return _read(await self.client.http.get(f"/tasks/{self.number}/result"))


class _Events:
    """Server-sent events as our servers write them: lines that end with a line feed, and a last event that says so."""

    def __init__(self) -> None:
        self.rest = b""
        self.ended = False

    def take(self, part: bytes) -> Iterator[Any]:
        """The items that are whole with this part of the answer."""
        *events, self.rest = (self.rest + part).split(b"\n\n")
        for event in events:
            lines = [line.partition(": ") for line in event.decode().split("\n")]
            kind = "".join(text for field, _, text in lines if field == "event")
            told = "\n".join(text for field, _, text in lines if field == "data")
            if kind == "error":
                raise ServiceError(500, json.loads(told))
            if kind == "end":
                self.ended = True
            else:
                yield json.loads(told) if kind == "json" else told

    def expect_end(self) -> None:
        if not self.ended:
            raise ServiceError(500, {"error": "the stream broke off", "code": "internal"})


def _question(given: tuple[Any, ...], named: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
    if len(given) == 1 and not named and isinstance(given[0], np.ndarray):
        return {"content": to_npy(given[0]), "headers": {"content-type": NPY, **(headers or {})}}
    if given:
        raise TypeError("only a single array can be sent without a name; name the values: classify(images=…)")
    return {"content": to_json(named), "headers": {"content-type": JSON, **(headers or {})}}


def _read(answer: Any) -> Any:
    """What is in an answer, by its content type."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if answer.is_error:
        raise ServiceError(answer.status_code, answer.json() if kind == JSON else {"error": answer.text[:500]})
    if kind == JSON:
        return answer.json()
    return npy(answer.content, "the answer") if kind == NPY else answer.content
