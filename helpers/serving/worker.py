"""A worker process of a server: from its start until its supervisor ends it, or dies."""

import asyncio
import contextlib
import multiprocessing
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from helpers.engine.logs import log, write_to_stderr
from helpers.engine.metrics import LIVE, retire
from helpers.engine.targets import resolve
from helpers.errors import UserError
from helpers.runtime.providers import use_device
from helpers.serving.application import Settings, Shared
from helpers.serving.server import Server, end_in_time, new_loop
from helpers.serving.source_files import source_folders

Message = list[str] | tuple[str, str, int]  # ready, with the folders of its source; or why it cannot start


def work(
    targets: Sequence[str], listening: socket.socket, settings: Settings, shared: Shared, pipe: Connection
) -> None:
    """A worker's whole life."""
    write_to_stderr(settings.log_requests)
    try:
        if settings.device is not None:
            use_device(settings.device)
        served = [resolve(target) for target in targets]

        def when_ready() -> None:
            _tell(pipe, source_folders(Path.cwd()))

        server = Server(served, listening, settings=settings, when_ready=when_ready, shared=shared)
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


def _tell(pipe: Connection, what: Message) -> None:
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
