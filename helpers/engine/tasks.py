"""Work that takes longer than a caller wants to hold a connection: submitted, asked after, fetched or cancelled.

A task is a small file that says how it is, and a second one with its result; they lie in a
folder that all workers of a server share, so that any of them can be asked. The worker that
took a task in runs it. Both files go when the result has been kept for as long as was said.
"""

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from helpers.engine.errors import EngineError

LOOK_SECONDS = 0.25  # between two looks whether another worker was told to cancel a task of ours
MOST_TASKS = 1000  # in the folder, of which most will have ended

Progress = Callable[[Any], None]
Work = Callable[[Progress], Awaitable[tuple[bytes, str]]]


class TaskState(msgspec.Struct, omit_defaults=True):
    """How a task is. ``state`` is waiting, running, done, failed, cancelled or lost."""

    task: str
    api: str
    state: str
    submitted: float
    keep: float
    worker: int
    started: float | None = None
    ended: float | None = None
    progress: Any = None
    error: str | None = None
    content_type: str = ""

    @property
    def is_over(self) -> bool:
        return self.state not in ("waiting", "running")


class Tasks:
    """The tasks of one worker, in the folder of all."""

    def __init__(self, folder: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="servelab-tasks-"))
        self.clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._watching: asyncio.Task[None] | None = None

    def submit(self, api: str, at_once: int, keep: float, work: Work) -> TaskState:
        """Take a task in. It runs when one of the ``at_once`` places of its API is free."""
        self.sweep()
        if sum(1 for _ in self.folder.glob("*.json")) >= MOST_TASKS:
            raise EngineError("overloaded", f"{MOST_TASKS} tasks are kept already", retry_after=10.0)
        state = TaskState(uuid.uuid4().hex, api, "waiting", self.clock(), keep, os.getpid())
        self._write(state)
        slot = self._slots.setdefault(api, asyncio.Semaphore(at_once))
        running = asyncio.create_task(self._run(state, slot, work), name=f"task-{state.task}")
        self._running[state.task] = running
        running.add_done_callback(lambda _: self._running.pop(state.task, None))
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch_cancellations())
        return state

    def state(self, task: str) -> TaskState:
        """How a task is, whoever runs it."""
        try:
            if not re.fullmatch(r"[0-9a-f]{32}", task):
                raise FileNotFoundError
            state = msgspec.json.decode(self._file(task).read_bytes(), type=TaskState)
        except FileNotFoundError:
            raise EngineError(
                "not_found", f"no task {task[:40]!r}; its result may have been kept for long enough"
            ) from None
        if state.is_over and state.ended is not None and self.clock() > state.ended + state.keep:
            self._forget(task)
            raise EngineError("not_found", f"the result of {task} was kept for {state.keep:g} seconds, and is gone")
        return state

    def result(self, task: str) -> tuple[bytes, str]:
        """What came of it, if it is done."""
        state = self.state(task)
        if state.state != "done":
            told = f": {state.error}" if state.error else ""
            raise EngineError("conflict", f"the task is {state.state}{told}; there is no result")
        return self._file(task, "result").read_bytes(), state.content_type

    def cancel(self, task: str) -> TaskState:
        """Tell whoever runs it to stop. What is over stays as it is."""
        state = self.state(task)
        if state.is_over:
            return state
        running = self._running.get(task)
        if running is None:
            self._file(task, "cancel").touch()
        else:
            running.cancel()
        state.state, state.ended = "cancelled", self.clock()
        self._write(state)
        return state

    def sweep(self) -> None:
        """Forget what was kept for long enough."""
        for path in self.folder.glob("*.json"):
            with contextlib.suppress(EngineError):
                self.state(path.stem)

    async def close(self) -> None:
        """Cancel what runs; at the end of the last worker the folder goes too."""
        for running in [*self._running.values(), self._watching]:
            if running is not None:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _run(self, state: TaskState, slot: asyncio.Semaphore, work: Work) -> None:
        try:
            async with slot:
                state.state, state.started = "running", self.clock()
                self._write(state)
                content, state.content_type = await work(lambda item: self._progress(state, item))
                self._replace(self._file(state.task, "result"), content)
                state.state = "done"
        except asyncio.CancelledError:
            state.state = "cancelled"
            raise
        except EngineError as error:
            state.state, state.error = "failed", error.message
        except Exception as error:
            state.state, state.error = "failed", "it raised an error; the server's log says which"
            self.on_failure(error)
        finally:
            state.ended = self.clock()
            self._write(state)

    def on_failure(self, error: Exception) -> None:
        """The server sets this: its log gets what a caller does not."""

    def _progress(self, state: TaskState, item: Any) -> None:
        state.progress = item
        self._write(state)

    async def _watch_cancellations(self) -> None:
        while self._running:
            for path in self.folder.glob("*.cancel"):
                running = self._running.get(path.stem)
                if running is not None:
                    running.cancel()
                    path.unlink(missing_ok=True)
            await asyncio.sleep(LOOK_SECONDS)

    def _file(self, task: str, kind: str = "json") -> Path:
        return self.folder / f"{task}.{kind}"

    def _forget(self, task: str) -> None:
        for kind in ("json", "result", "cancel"):
            self._file(task, kind).unlink(missing_ok=True)

    def _write(self, state: TaskState) -> None:
        self._replace(self._file(state.task), msgspec.json.encode(state))

    def _replace(self, path: Path, content: bytes) -> None:
        beside = path.with_suffix(f".{os.getpid()}.new")
        beside.write_bytes(content)
        beside.replace(path)


def mark_lost(folder: Path, worker: int) -> None:
    """A worker died: its tasks will not come to an end by themselves."""
    for path in folder.glob("*.json"):
        state = msgspec.json.decode(path.read_bytes(), type=TaskState)
        if state.worker == worker and not state.is_over:
            state.state, state.error, state.ended = "lost", "the worker that ran it died", time.time()
            path.write_bytes(msgspec.json.encode(state))
