"""A program in a process group of its own: its output line by line, an end within a time limit, no child left."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

POLL_SECONDS = 0.1  # between two looks at a process whose output stays open: its children may hold it


class ChildProcess:
    """Started on entry; on exit whatever of its process group still runs is killed."""

    def __init__(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str], seconds: float) -> None:
        # Appending, so that reading here moves nothing for the writer. It is closed on exit.
        self._stderr = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        self._ends = time.monotonic() + seconds
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=sys.platform != "win32",
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "ChildProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._process.wait()
        self._reader.join(POLL_SECONDS)  # a process that left the group may still hold its end of the pipe
        self._stderr.close()

    def lines(self) -> Iterator[str]:
        """Lines of stdout until the process ends. Raises TimeoutError when the time limit is over."""
        while True:
            if time.monotonic() > self._ends:
                raise TimeoutError
            try:
                line = self._lines.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if self._process.poll() is not None and self._lines.empty():
                    return
                continue
            if line is None:
                self.wait(self._ends - time.monotonic())
                return
            yield line

    def wait(self, seconds: float) -> int:
        """The exit code. Raises TimeoutError if the process does not end within this time."""
        try:
            return self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            raise TimeoutError from None

    def terminate(self) -> None:
        """Ask the process, and not its children, to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End the process and all of its group at once."""
        if sys.platform == "win32":
            self._process.kill()
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def stderr(self) -> str:
        """What the process has written to stderr so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._lines.put(line.decode(errors="replace").rstrip("\r\n"))
        self._lines.put(None)
