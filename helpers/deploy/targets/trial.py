"""A bundle or an image under a platform's contract, on this machine: PORT told, asked at once, SIGTERM at the end.

>>> with Instance(bundle_command(made), port) as instance:  # doctest: +SKIP
...     print(instance.wait(), ask(port, *question_of(made)))
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from helpers.deploy.packing import Bundle
from helpers.deploy.targets.rules import READY
from helpers.errors import UserError

PATIENCE = 60.0  # seconds for a start
GRACE = 10.0  # seconds between SIGTERM and SIGKILL, as on Cloud Run
LOOK = 0.01


@dataclass(frozen=True)
class ColdStart:
    """What a caller waits for when nothing runs, and what it takes once something does; in seconds."""

    ready: float
    answered: float
    warm: float


class Instance:
    """One start of a command that listens on the PORT it is told; ended as a platform ends it."""

    def __init__(
        self, command: Sequence[str], port: int, environment: Mapping[str, str] | None = None, grace: float = GRACE
    ) -> None:
        self.port = port
        self.grace = grace
        variables = {"PORT": str(port), "K_SERVICE": "trial", "K_REVISION": "1"}
        # Without the latter nothing on Windows opens a socket.
        variables |= {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            list(command),
            env=variables | dict(environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.said = ""

    def __enter__(self) -> "Instance":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def wait(self) -> float:
        """The seconds from the start until it says that it is ready."""
        while not is_ready(self.port):
            if self.process.poll() is not None or time.perf_counter() - self.began > PATIENCE:
                self.end()
                raise UserError("The service did not start.", self.said.strip()[-800:] or "it said nothing.")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(LOOK)
        return time.perf_counter() - self.began

    def end(self) -> int:
        """Send SIGTERM, and SIGKILL to what outlives the grace time. The exit code is below 0 if it was killed."""
        if self.process.stdout is not None and not self.process.stdout.closed:
            self._signal(signal.SIGTERM)
            try:
                self.said += self.process.communicate(timeout=self.grace)[0]
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
                self.said += self.process.communicate()[0]
        return self.process.returncode

    def _signal(self, number: signal.Signals) -> None:
        """To the service, and to what was put around it."""
        if sys.platform == "win32":
            self.process.kill()
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def is_ready(port: int) -> bool:
    """What the platform's probe would find."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", READY)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def ask(port: int, path: str, body: bytes) -> bytes:
    """One question to what listens there, and its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise UserError(f"{path} was answered with {answer.status}.", content.decode(errors="replace")[:300])
    return content


def bundle_command(bundle: Bundle) -> list[str]:
    """The bundle itself, by this Python and with the packages that are installed here."""
    return [sys.executable, str(bundle.path / "run.py")]


def question_of(bundle: Bundle) -> tuple[str, bytes]:
    """A path that the bundle answers, and the example that its own description gives for it."""
    paths = json.loads((bundle.path / "openapi.json").read_text("utf-8"))["paths"]
    for path, operations in paths.items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in content and "{" not in path:
            return path, json.dumps(content["example"]).encode()
    raise UserError(f"{bundle.name} describes no example of a question.", "ask it one of your own.")


def cold_start(command: Sequence[str], port: int, path: str, body: bytes) -> ColdStart:
    """Start from zero, ask as soon as it is ready, once more while it is warm, and end it."""
    with Instance(command, port) as instance:
        ready = instance.wait()
        ask(port, path, body)
        answered = time.perf_counter() - instance.began
        before = time.perf_counter()
        ask(port, path, body)
        return ColdStart(ready, answered, time.perf_counter() - before)
