"""Load on a server: wrk where it is installed, and an asyncio client of our own where it is not."""

import asyncio
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import UserError

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True)
class Question:
    """One request, sent again and again."""

    path: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What came of it: answers a second, and the seconds that half of them, and 99 of 100, took at most."""

    rate: float
    p50: float
    p99: float
    errors: int


def generator() -> str:
    """Which of the two will be used."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def put_load(port: int, question: Question, connections: int, seconds: float, core: int | None = None) -> Outcome:
    """Keep so many connections busy for so long; on one core, if one is named."""
    if generator() == "wrk":
        return _with_wrk(port, question, connections, seconds, core)
    found: Outcome = in_a_thread(lambda: _with_asyncio(port, question, connections, seconds))
    return found


def in_a_thread(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine on a loop of its own: a notebook's thread has one that is running already."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(asyncio.run(work()))
        except BaseException as error:  # it belongs to who asked
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _with_wrk(port: int, question: Question, connections: int, seconds: float, core: int | None) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="servelab-load-") as folder:
        body, script = Path(folder) / "body", Path(folder) / "ask.lua"
        body.write_bytes(question.body)
        headers = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in question.headers.items())
        script.write_text(
            f'wrk.method = "POST"\n{headers}local file = io.open("{body}", "rb")\nwrk.body = file:read("*a")\n', "utf-8"
        )
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "-s", str(script)]
        if core is not None and shutil.which("taskset"):
            command = ["taskset", "-c", str(core), *command]
        ran = subprocess.run(
            [*command, f"http://127.0.0.1:{port}{question.path}"], capture_output=True, text=True, check=False
        )
    return read_wrk(ran.stdout)


def read_wrk(text: str) -> Outcome:
    """The figures in what wrk prints."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if rate is None:
        raise UserError(f"wrk said nothing that could be read: {text[:200]!r}", "see whether the server answers.")
    latencies = {
        float(percent): float(value) * UNITS[unit]
        for percent, value, unit in re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)", text, re.MULTILINE)
    }
    errors = sum(map(int, re.findall(r"(?:Non-2xx or 3xx responses: |connect |read |write |timeout )(\d+)", text)))
    return Outcome(float(rate[1]), latencies[50], latencies[99], errors)


async def _with_asyncio(port: int, question: Question, connections: int, seconds: float) -> Outcome:
    """Raw HTTP/1.1 over kept connections; itself the limit for the quickest servers."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in question.headers.items())
    head = f"POST {question.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(question.body)}\r\n{headers}\r\n"
    asked, taken, errors = head.encode() + question.body, [], 0
    ends = time.perf_counter() + seconds

    async def keep_asking() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < ends:
            writer.write(asked)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            taken.append(time.perf_counter() - began)
            errors += not answer.startswith(b"HTTP/1.1 2")
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(keep_asking() for _ in range(connections)))
    p50, p99 = np.percentile(taken, [50, 99])
    return Outcome(len(taken) / (time.perf_counter() - began), float(p50), float(p99), errors)
