"""A server in a process of its own, for as long as a ``with`` block or the notebook's kernel lives."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.errors import UserError
from helpers.places import ROOT

LOG_LINES = 400
PATIENCE = 60.0
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach this machine


class ServerProcess:
    """Any command that serves HTTP on a port of this machine; ``{port}`` in it or its environment is replaced.

    >>> with ServerProcess.of_kit("digits:prod", workers=2) as server:  # doctest: +SKIP
    ...     print(server.address)
    """

    def __init__(
        self,
        command: Sequence[str],
        ready_path: str = "/readyz",
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = list(command)
        self.ready_path = ready_path
        self.folder = folder or ROOT
        self.environment = dict(environment or {})
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @classmethod
    def of_kit(
        cls,
        *targets: str,
        folder: Path | None = None,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> "ServerProcess":
        """``python3 -m helpers serve`` of tags, or of services in a module that lies in ``folder``."""
        options = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
        command = [sys.executable, "-m", "helpers", "serve", *targets, "--port", "{port}"]
        command += ["--workers", str(workers)] if workers > 1 else []
        return cls([*command, *options], folder=folder, environment=environment)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that holds the server; the server and its workers are its children."""
        assert self._process is not None, "it was not started"
        return self._process.pid

    def start(self) -> "ServerProcess":
        """Start it and wait until it answers."""
        if self.is_running:
            return self
        self.log.clear()
        self.port = free_port()
        command = [part.replace("{port}", str(self.port)) for part in self.command]
        environment = {name: value.replace("{port}", str(self.port)) for name, value in self.environment.items()}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "helpers.bench.tether", *command],
            cwd=self.folder,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": _with_root()} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Jupyter ends a kernel together with its group, and the tether must outlive it
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self._wait_until_it_answers()
        return self

    def stop(self) -> None:
        """End it, if it runs, and wait until it is gone."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # type: ignore[union-attr]  # the tether sees it and ends all
            self._process.wait()
            self._reader.join()  # type: ignore[union-attr]
            self._process.stdout.close()  # type: ignore[union-attr]
            self._process = None

    def health(self) -> str:
        """What it says of itself: ready, not ready, silent, or not running."""
        if not self.is_running:
            return "not running"
        try:
            with _DIRECTLY.open(self.address + self.ready_path, timeout=2):
                return "ready"
        except urllib.error.HTTPError as error:
            return "ready" if error.code < 500 else "not ready"
        except OSError:
            return "silent"

    def __enter__(self) -> "ServerProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            self.log.append(line.rstrip("\n"))

    def _wait_until_it_answers(self) -> None:
        gives_up = time.monotonic() + PATIENCE
        while self.health() != "ready":
            if not self.is_running or time.monotonic() > gives_up:
                self.stop()
                raise UserError("The server did not start.", "\n".join(list(self.log)[-12:]) or "it said nothing.")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.03)  # type: ignore[union-attr]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _with_root() -> str:
    """So that ``-m helpers`` is found from any folder."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
