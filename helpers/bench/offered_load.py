"""Load that does not wait for answers: callers arrive when they like, as in life.

A load generator with a fixed number of connections sends less when the server is slow, and so
hides how slow it is. Here arrivals are drawn beforehand, and a latency counts from the moment
at which the caller wanted to ask.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from helpers.bench.load import Question, in_a_thread

MOST_CONNECTIONS = 200


@dataclass(frozen=True)
class Offered:
    """What came of it: for each request that was asked, when, how long it took (seconds), and its status."""

    rate: float
    asked: NDArray[np.float64]
    latencies: NDArray[np.float64]
    statuses: "Counter[int]" = field(default_factory=Counter)

    @property
    def answered(self) -> float:
        """Good answers a second, from the first question to the last answer."""
        whole = float((self.asked + self.latencies).max() - self.asked.min()) if len(self.asked) else 0.0
        return self.statuses[200] / whole if whole else 0.0

    def percentile(self, percent: float) -> float:
        """The seconds that so many of a hundred took at most."""
        return float(np.percentile(self.latencies, percent))


def offer(
    address: str,
    question: Question,
    rate: float,
    seconds: float,
    random: np.random.Generator,
    watch: Callable[[float, float, int], None] = lambda asked, latency, status: None,
) -> Offered:
    """Ask ``rate`` times a second on average, at random moments. ``watch`` is told of each answer as it comes."""
    moments = np.cumsum(random.exponential(1 / rate, max(1, round(rate * seconds))))
    results: list[tuple[float, float, int]] = []

    def note(asked: float, latency: float, status: int) -> None:
        results.append((asked, latency, status))
        watch(asked, latency, status)

    in_a_thread(lambda: _offer(address, question, moments.tolist(), note))
    asked, latencies, statuses = zip(*sorted(results), strict=True)
    return Offered(rate, np.array(asked), np.array(latencies), Counter(statuses))


async def _offer(
    address: str, question: Question, moments: Sequence[float], note: Callable[[float, float, int], None]
) -> None:
    host, port = address.removeprefix("http://").rsplit(":", 1)
    headers = "".join(f"{name}: {value}\r\n" for name, value in question.headers.items())
    head = f"POST {question.path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(question.body)}\r\n{headers}\r\n"
    asked = head.encode() + question.body
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    places = asyncio.Semaphore(MOST_CONNECTIONS)
    began = time.perf_counter()

    async def ask(moment: float) -> None:
        async with places:
            status = 0
            try:
                connection = free.pop() if free else await asyncio.open_connection(host, int(port))
                status = await _exchange(*connection, asked)
                free.append(connection)
            except (OSError, asyncio.IncompleteReadError):
                pass  # a connection that broke is told as the status 0
            note(moment, time.perf_counter() - began - moment, status)

    asking = []
    for moment in moments:
        ahead = moment - (time.perf_counter() - began)
        if ahead > 0:
            await asyncio.sleep(ahead)
        asking.append(asyncio.create_task(ask(moment)))
    await asyncio.gather(*asking)
    for _, writer in free:
        writer.close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytes) -> int:
    writer.write(asked)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    await reader.readexactly(int(length[1]) if length else 0)
    return int(head.split(b" ", 2)[1])
