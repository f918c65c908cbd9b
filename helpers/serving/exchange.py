"""One request and its answer, as the routes see them: whoever reads the one and writes the other is not known here."""

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from helpers.wire.errors import EngineError, malformed

Headers = dict[bytes, bytes]
Body = bytes | memoryview  # a long one is read where it lies
Parts = Sequence[bytes | memoryview]
JSON = b"application/json"


class Peer(Protocol):
    """Who asks: at the other end of a connection, as far as it is known."""

    def has_left(self) -> bool:
        """True if it is known to have closed its connection."""

    async def left(self) -> None:
        """Wait until it leaves."""


class Request:
    """What a route gets. ``refusal`` is what its reader found wrong with it, and all that it will be told."""

    __slots__ = (
        "arrived",
        "body",
        "has_left",
        "headers",
        "left",
        "method",
        "number",
        "path",
        "refusal",
        "route",
        "url",
    )

    def __init__(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: Body,
        peer: Peer,
        refusal: EngineError | None = None,
    ) -> None:
        self.method = method
        self.url = url
        self.route, *self.path = url.split("/")[1:] or [""]  # OPTIONS * has none
        self.headers = headers
        self.body = body
        self.refusal = refusal
        self.arrived = time.monotonic()
        self.number = b""
        self.has_left: Callable[[], bool] = peer.has_left
        self.left: Callable[[], Awaitable[None]] = peer.left

    def header(self, name: bytes) -> str:
        """A header's text, or none."""
        return self.headers.get(name, b"").decode("latin-1")

    def deadline(self, timeout: float) -> float:
        """The end of the caller's patience, or of the server's, whichever comes first."""
        told = self.headers.get(b"x-timeout-seconds")
        return self.arrived + (timeout if told is None else min(timeout, _seconds(told)))

    def expect_method(self, *allowed: str) -> None:
        if self.method not in allowed:
            told = f"this path is for {' and '.join(allowed)}, not for {self.method[:20]}"
            raise EngineError("method_not_allowed", told, headers=((b"allow", ", ".join(allowed).encode()),))


class Answer:
    """What a route gives: some parts, or a stream of them."""

    __slots__ = ("content_type", "headers", "number", "parts", "status", "stream")

    def __init__(
        self,
        parts: Parts = (b"",),
        status: int = 200,
        content_type: bytes = JSON,
        headers: Sequence[tuple[bytes, bytes]] = (),
        stream: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.parts = parts
        self.status = status
        self.content_type = content_type
        self.headers = headers
        self.stream = stream
        self.number = b""  # of the request


def told(error: EngineError, number: bytes) -> Answer:
    """An error, as its caller gets it; ``number`` is that of the request."""
    headers = list(error.headers)
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    return Answer([error.body(number.decode("latin-1"))], error.status, headers=headers)


def too_long(told: str, most: int) -> EngineError:
    """What is said of a body over the limit; ``told`` is how long it says it is."""
    return EngineError("too_large", f"the body has {told} bytes; at most {most} are read")


def _seconds(told: bytes) -> float:
    try:
        seconds = float(told)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise malformed(f"x-timeout-seconds is {told[:40].decode('latin-1')!r}, and should be a number above 0")
    return seconds
