"""Several workers behind one port: started together, watched, replaced when one dies, and ended together.

The supervisor answers nothing itself. It holds the socket, which all workers inherit, so that a
connection belongs to whoever accepts it. Were each worker listening on a socket of its own
(SO_REUSEPORT), the connections that wait in one would be lost with its worker; in a common
one they wait for another.

Each worker has a pipe to the supervisor. Through it, it says that it answers, or why it cannot.
That the pipe closes is the sign to come to an end: the supervisor closes it, or was killed.
"""

import asyncio
import contextlib
import multiprocessing
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn

from helpers.engine.logs import log, write_to_stderr
from helpers.engine.metrics import LIVE, retire
from helpers.engine.targets import resolve
from helpers.engine.tasks import mark_lost
from helpers.errors import UserError
from helpers.serving.application import Settings, Shared
from helpers.serving.server import Server, end_in_time, new_loop
from helpers.serving.turns import NOT_YET, Counts

TRIES = 3  # deaths in a row of workers that never answered: the next would not either
LOOK_SECONDS = 1.0  # a worker's own children may hold its pipe open when it dies


@dataclass
class _Worker:
    shared: Shared
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    error: UserError | None = None

    def hear(self) -> None:
        """What it has said meanwhile: that it answers, or why it cannot."""
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll():
                told = self.pipe.recv()
                self.ready, self.error = (True, None) if told is None else (self.ready, UserError(*told))


class Supervisor:
    """Runs in the main thread of a process of its own; ``targets`` are as on the command line."""

    def __init__(
        self,
        targets: Sequence[str],
        listening: socket.socket,
        workers: int,
        settings: Settings,
        when_ready: Callable[[], None],
    ) -> None:
        self.targets = list(targets)
        self.listening = listening
        self.workers = workers
        self.settings = settings
        self.when_ready = when_ready
        # A new interpreter each: a copy of this one, as fork makes it, would copy its threads' locks as they are.
        self._context = multiprocessing.get_context("spawn")
        self._crew: list[_Worker] = []
        self._connections = self._context.RawArray("q", workers)
        self._started = 0
        self._in_vain = 0
        self._answers = False
        self._stopping = False
        self._woken, self._wake = self._context.Pipe(duplex=False)

    def run(self) -> bool:
        """Start the workers and look after them until told to stop. False if one had to be killed at the end."""
        with tempfile.TemporaryDirectory(prefix="servelab-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            for each in ("metrics", "tasks"):
                (folder / each).mkdir()
            try:
                for place in range(self.workers):
                    self._start(folder, place)
                while not self._stopping:
                    self._look_after()
            finally:
                ended_well = self._end()
        return ended_well

    def stop(self) -> None:
        """Let the workers answer what they have accepted, and end. From any thread, or a signal's handler."""
        self._stopping = True
        self._wake.send(None)

    def _start(self, folder: Path, place: int) -> None:
        self._started += 1
        name = str(self._started)
        self._connections[place] = NOT_YET
        ours, theirs = self._context.Pipe()
        shared = Shared(folder / "metrics", folder / "tasks", name, Counts(self._connections, place))
        process = self._context.Process(
            target=_work, args=(self.targets, self.listening, self.settings, shared, theirs), name=f"worker-{name}"
        )
        # Ctrl+C in a terminal goes to all of its processes; what it means is the supervisor's affair.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()
        self._crew.append(_Worker(shared, process, ours))

    def _look_after(self) -> None:
        pipes = [self._woken, *(worker.pipe for worker in self._crew)]
        with contextlib.suppress(InterruptedError):  # Ctrl+C on Windows
            wait([*pipes, *(worker.process.sentinel for worker in self._crew)], LOOK_SECONDS)
        for worker in list(self._crew):
            was_ready = worker.ready
            worker.hear()
            if worker.ready and not was_ready:
                self._in_vain = 0
            if not worker.process.is_alive() and not self._stopping:
                self._replace(worker)
        if not self._answers and all(worker.ready for worker in self._crew):
            self._answers = True
            self.when_ready()

    def _replace(self, worker: _Worker) -> None:
        """Keep what it had counted, own up to the tasks that it leaves, and start another; or give up."""
        self._crew.remove(worker)
        worker.hear()
        worker.pipe.close()
        shared, pid, code = worker.shared, worker.process.pid or 0, worker.process.exitcode
        retire(shared.metrics, shared.worker)
        mark_lost(shared.tasks, pid)
        if not worker.ready:
            self._in_vain += 1
            if self._in_vain == TRIES or (worker.error and not self._answers):
                raise worker.error or UserError(
                    f"{TRIES} workers in a row died before they could answer, the last with exit code {code}.",
                    "see what is said above, or serve with --workers 1.",
                )
        log.error("a worker died", extra={"worker": shared.worker, "pid": pid, "exit_code": code})
        self._start(shared.metrics.parent, shared.connections.own)

    def _end(self) -> bool:
        """Told all at once, awaited one by one; who is not gone in time is killed."""
        self.listening.close()
        for worker in self._crew:
            worker.pipe.close()
        ends = time.monotonic() + self.settings.grace
        for worker in self._crew:
            worker.process.join(max(0.0, ends - time.monotonic()))
            if worker.process.is_alive():
                told = {"worker": worker.shared.worker, "pid": worker.process.pid}
                log.error("a worker did not end in time", extra=told)
                worker.process.kill()
                worker.process.join()
        return all(worker.process.exitcode == 0 for worker in self._crew)


def _work(
    targets: Sequence[str], listening: socket.socket, settings: Settings, shared: Shared, pipe: Connection
) -> None:
    """A worker's whole life."""
    write_to_stderr(settings.log_requests)
    try:
        served = [resolve(target) for target in targets]
        server = Server(served, listening, settings=settings, when_ready=partial(_tell, pipe, None), shared=shared)
        end = partial(end_in_time, server, partial(_tidy, shared))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: end())
        threading.Thread(target=_wait_for_the_end, args=(pipe, end), daemon=True).start()
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(server.run())
    except UserError as error:
        _give_up(pipe, error)
    except Exception as error:
        log.error("a worker failed", exc_info=error)
        _give_up(pipe, UserError(f"A worker failed: {type(error).__name__}: {error}.", "see what is said above."))
    finally:
        _tidy(shared)


def _wait_for_the_end(pipe: Connection, end: Callable[[], None]) -> None:
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    end()


def _tell(pipe: Connection, what: tuple[str, str, int] | None) -> None:
    with contextlib.suppress(OSError):  # the supervisor does not listen any more
        pipe.send(what)


def _give_up(pipe: Connection, error: UserError) -> NoReturn:
    _tell(pipe, (error.sentence, error.remedy, error.exit_code))
    sys.exit(error.exit_code)


def _tidy(shared: Shared) -> None:
    """If the supervisor was killed, the last of its workers removes the folder that they shared."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        with contextlib.suppress(OSError):
            retire(shared.metrics, shared.worker)
        if not list(shared.metrics.glob(f"*{LIVE}")):
            shutil.rmtree(shared.metrics.parent, ignore_errors=True)
