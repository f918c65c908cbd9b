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
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from helpers import atomic_files
from helpers.engine.logs import log
from helpers.runtime import InputError
from helpers.wire.errors import EngineError

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
        self._is_shared = folder is not None
        if folder is not None:
            self.folder = folder
        self.clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._watching: asyncio.Task[None] | None = None

    @cached_property
    def folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="servelab-tasks-"))

    def submit(self, api: str, at_once: int, keep: float, work: Work) -> TaskState:
        """Take a task in. It runs when one of the ``at_once`` places of its API is free."""
        if self.sweep() >= MOST_TASKS:
            raise EngineError("overloaded", f"{MOST_TASKS} tasks are kept already", retry_after=10.0)
        state = TaskState(uuid.uuid4().hex, api, "waiting", self.clock(), keep, os.getpid())
        self._write(state)
        slot = self._slots.setdefault(api, asyncio.Semaphore(at_once))
        running = asyncio.create_task(self._run(state, slot, work), name=f"task-{state.task}")
        self._running[state.task] = running
        running.add_done_callback(lambda _: self._running.pop(state.task, None))
        if self._is_shared and (self._watching is None or self._watching.done()):
            self._watching = asyncio.create_task(self._watch_cancellations())
        return state

    def state(self, task: str) -> TaskState:
        """How a task is, whoever runs it."""
        try:
            if not re.fullmatch(r"[0-9a-f]{32}", task):
                raise FileNotFoundError
            state = msgspec.json.decode(self._file(task).read_bytes(), type=TaskState)
        except FileNotFoundError:
            raise _gone(task) from None
        if state.is_over and state.ended is not None and self.clock() > state.ended + state.keep:
            self._forget(task)
            raise _gone(task)
        return state

    def result(self, task: str) -> tuple[bytes, str]:
        """What came of it, if it is done."""
        state = self.state(task)
        if state.state != "done":
            told = f": {state.error}" if state.error else ""
            raise EngineError("conflict", f"the task is {state.state}{told}; there is no result")
        try:
            return self._file(task, "result").read_bytes(), state.content_type
        except FileNotFoundError:  # another worker has swept meanwhile
            raise _gone(task) from None

    def cancel(self, task: str) -> TaskState:
        """Tell whoever runs it to stop. What is over stays as it is."""
        state = self.state(task)
        if state.is_over:
            return state
        self._file(task, "cancel").touch()  # from now on nothing else is written about it
        state.state, state.ended = "cancelled", self.clock()
        self._write(state)
        if task in self._running:
            self._running[task].cancel()
        return state

    def sweep(self) -> int:
        """Forget what was kept for long enough. How many there are still?"""
        left = 0
        for path in self.folder.glob("*.json"):
            with contextlib.suppress(EngineError):
                self.state(path.stem)
                left += 1
        return left

    async def close(self) -> None:
        """Cancel what runs; at the end of the last worker the folder goes too."""
        ending = [*self._running.values(), *([self._watching] if self._watching else [])]
        for running in ending:  # all of them first: none that waits may take the place of one that ends
            running.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if not self._is_shared:
            self.remove()

    def remove(self) -> None:
        """The folder goes, if there ever was one: where nothing can be written there is none."""
        if "folder" in vars(self):
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _run(self, state: TaskState, slot: asyncio.Semaphore, work: Work) -> None:
        try:
            async with slot:
                state.state, state.started = "running", self.clock()
                self._go_on(state)
                content, state.content_type = await work(lambda item: self._progress(state, item))
                atomic_files.write(self._file(state.task, "result"), content)
                state.state = "done"
        except asyncio.CancelledError:
            state.state = "cancelled"
        except (EngineError, InputError) as error:
            state.state, state.error = "failed", str(error)
        except Exception as error:
            state.state, state.error = "failed", "it raised an error; the server's log says which"
            log.error("a task failed", exc_info=error, extra={"task": state.task, "api": state.api})
        state.ended = self.clock()
        with contextlib.suppress(asyncio.CancelledError):
            self._go_on(state)

    def _progress(self, state: TaskState, item: Any) -> None:
        with contextlib.suppress(TypeError):  # an array, or what else has no form in JSON, is a result and no progress
            state.progress = msgspec.to_builtins(item, enc_hook=_plain)
        self._go_on(state)

    def _go_on(self, state: TaskState) -> None:
        """Write down how it is; unless it was cancelled, by another worker perhaps: then it ends here."""
        if self._file(state.task, "cancel").exists():
            raise asyncio.CancelledError
        self._write(state)

    async def _watch_cancellations(self) -> None:
        while self._running:
            for path in self.folder.glob("*.cancel"):
                if path.stem in self._running:
                    self._running[path.stem].cancel()
            await asyncio.sleep(LOOK_SECONDS)

    def _file(self, task: str, kind: str = "json") -> Path:
        return self.folder / f"{task}.{kind}"

    def _forget(self, task: str) -> None:
        for kind in ("json", "result", "cancel"):
            self._file(task, kind).unlink(missing_ok=True)

    def _write(self, state: TaskState) -> None:
        atomic_files.write(self._file(state.task), msgspec.json.encode(state))


def mark_lost(folder: Path, worker: int) -> None:
    """A worker died: its tasks will not come to an end by themselves."""
    tasks = Tasks(folder)
    for path in folder.glob("*.json"):
        with contextlib.suppress(EngineError):
            state = tasks.state(path.stem)
            if state.worker == worker and not state.is_over:
                state.state, state.error, state.ended = "lost", "the worker that ran it died", tasks.clock()
                tasks._write(state)


def _gone(task: str) -> EngineError:
    return EngineError("not_found", f"no task {task[:40]!r}; its result may have been kept for long enough")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError
