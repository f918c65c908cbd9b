"""Several workers behind one port: started together, watched, replaced when one dies, and ended together.

The supervisor answers nothing itself. It holds the socket, which all workers inherit, so that a
connection belongs to whoever accepts it. Were each worker listening on a socket of its own
(SO_REUSEPORT), the connections that wait in one would be lost with its worker; in a common
one they wait for another.

Each worker has a pipe to the supervisor. Through it, it says that it answers, or why it cannot.
That the pipe closes is the sign to come to an end: the supervisor closes it, or was killed.

With ``reload``, a change of the services' source files starts as many new workers beside the old ones. The old
ones end, and answer what they have accepted, when all of the new ones are ready; if one of them cannot start,
the old ones go on.
"""

import contextlib
import multiprocessing
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from helpers.engine.logs import log
from helpers.engine.metrics import retire
from helpers.engine.tasks import mark_lost
from helpers.errors import UserError
from helpers.serving.application import Settings, Shared
from helpers.serving.source_files import SourceFiles
from helpers.serving.turns import NOT_YET, Counts
from helpers.serving.worker import work

TRIES = 3  # deaths in a row of workers that never answered: the next would not either
LOOK_SECONDS = 1.0  # a worker's own children may hold its pipe open when it dies
RELOAD_SECONDS = 0.5  # from one look at the source files to the next


@dataclass
class _Worker:
    shared: Shared
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    error: UserError | None = None
    folders: tuple[str, ...] = ()  # of its source files

    @property
    def place(self) -> int:
        """Its number among the counts of connections."""
        return self.shared.connections.own

    def hear(self) -> None:
        """What it has said meanwhile: that it answers, or why it cannot."""
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll():
                message = self.pipe.recv()
                if isinstance(message, list):
                    self.ready, self.error, self.folders = True, None, tuple(message)
                else:
                    self.error = UserError(*message)


class Supervisor:
    """Runs in the main thread of a process of its own; ``targets`` are as on the command line."""

    def __init__(
        self,
        targets: Sequence[str],
        listening: socket.socket,
        workers: int,
        settings: Settings,
        when_ready: Callable[[], None],
        reload: bool = False,
    ) -> None:
        self.targets = list(targets)
        self.listening = listening
        self.workers = workers
        self.settings = settings
        self.when_ready = when_ready
        # A new interpreter each: a copy of this one, as fork makes it, would copy its threads' locks as they are.
        self._context = multiprocessing.get_context("spawn")
        self._crew: list[_Worker] = []
        self._next: list[_Worker] = []  # with newer code, not ready yet
        self._leaving: list[_Worker] = []  # with older code, or without success
        self._sources = SourceFiles() if reload else None
        places = 2 * workers if reload else workers
        self._connections = self._context.RawArray("q", [NOT_YET] * places)
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
                    self._crew.append(self._start(folder, place))
                while not self._stopping:
                    self._look_after()
            finally:
                ended_well = self._end()
        return ended_well

    def stop(self) -> None:
        """Let the workers answer what they have accepted, and end. From any thread, or a signal's handler."""
        self._stopping = True
        self._wake.send(None)

    def _start(self, folder: Path, place: int) -> _Worker:
        self._started += 1
        name = str(self._started)
        self._connections[place] = NOT_YET
        ours, theirs = self._context.Pipe()
        shared = Shared(folder / "metrics", folder / "tasks", name, Counts(self._connections, place))
        process = self._context.Process(
            target=work, args=(self.targets, self.listening, self.settings, shared, theirs), name=f"worker-{name}"
        )
        # Ctrl+C in a terminal goes to all of its processes; what it means is the supervisor's affair.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()
        return _Worker(shared, process, ours)

    def _look_after(self) -> None:
        pipes = [self._woken, *(worker.pipe for worker in (*self._crew, *self._next))]
        everyone = [*self._crew, *self._next, *self._leaving]
        seconds = LOOK_SECONDS if self._sources is None else RELOAD_SECONDS
        with contextlib.suppress(InterruptedError):  # Ctrl+C on Windows
            wait([*pipes, *(worker.process.sentinel for worker in everyone)], seconds)
        for worker in list(self._crew):
            was_ready = worker.ready
            worker.hear()
            if worker.ready and not was_ready:
                self._in_vain = 0
            if not worker.process.is_alive() and not self._stopping:
                self._replace(worker)
        for worker in [each for each in self._leaving if not each.process.is_alive()]:
            self._leaving.remove(worker)
            self._keep_what_it_left(worker)
        if not self._answers and all(worker.ready for worker in self._crew):
            self._answers = True
            self.when_ready()
        if self._sources is not None and self._answers and not self._stopping:
            self._reload(self._sources)

    def _reload(self, sources: SourceFiles) -> None:
        """Start workers with the newer code; put them in the place of the others when all of them are ready."""
        for worker in self._next:
            worker.hear()
        failed = [each for each in self._next if not each.ready and (each.error or not each.process.is_alive())]
        if failed:
            code = failed[0].process.exitcode
            reason = failed[0].error.sentence if failed[0].error else f"a worker died with exit code {code}"
            log.error("reload failed", extra={"files": sources.changed, "reason": reason, "serving": "the code before"})
            self._retire(self._next)
            self._next = []
        elif self._next and all(worker.ready for worker in self._next):
            before, self._crew, self._next = self._crew, self._next, []
            self._retire(before)
            log.warning("reloaded", extra={"files": sources.changed, "workers": len(self._crew)})
        elif not self._next and sources.look({each for worker in self._crew for each in worker.folders}):
            taken = {worker.place for worker in (*self._crew, *self._leaving)}
            free = [place for place in range(len(self._connections)) if place not in taken]
            if len(free) >= self.workers:  # else the workers of the reload before are still answering
                sources.accept()
                folder = self._crew[0].shared.metrics.parent
                self._next = [self._start(folder, place) for place in free[: self.workers]]

    def _retire(self, workers: Sequence[_Worker]) -> None:
        """Let them answer what they have accepted, and end."""
        for worker in workers:
            worker.pipe.close()
            self._leaving.append(worker)

    def _keep_what_it_left(self, worker: _Worker) -> None:
        """Of a worker that has ended: what it counted, and that its unfinished tasks are lost."""
        retire(worker.shared.metrics, worker.shared.worker)
        mark_lost(worker.shared.tasks, worker.process.pid or 0)
        self._connections[worker.place] = NOT_YET

    def _replace(self, worker: _Worker) -> None:
        """Keep what it had counted, own up to the tasks that it leaves, and start another; or give up."""
        self._crew.remove(worker)
        worker.hear()
        worker.pipe.close()
        shared, pid, code = worker.shared, worker.process.pid or 0, worker.process.exitcode
        self._keep_what_it_left(worker)
        if not worker.ready:
            self._in_vain += 1
            if self._in_vain == TRIES or (worker.error and not self._answers):
                raise worker.error or UserError(
                    f"{TRIES} workers in a row died before they could answer, the last with exit code {code}.",
                    "see what is said above, or serve with --workers 1.",
                )
        log.error("a worker died", extra={"worker": shared.worker, "pid": pid, "exit_code": code})
        self._crew.append(self._start(shared.metrics.parent, worker.place))

    def _end(self) -> bool:
        """Told all at once, awaited one by one; who is not gone in time is killed."""
        self.listening.close()
        self._retire([*self._crew, *self._next])
        ends = time.monotonic() + self.settings.grace
        for worker in self._leaving:
            worker.process.join(max(0.0, ends - time.monotonic()))
            if worker.process.is_alive():
                told = {"worker": worker.shared.worker, "pid": worker.process.pid}
                log.error("a worker did not end in time", extra=told)
                worker.process.kill()
                worker.process.join()
        return all(worker.process.exitcode == 0 for worker in self._crew)
