"""Serve in a process of its own, until it is told to stop: what a command line and a bundle start."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from helpers.engine.logs import write_to_stderr
from helpers.engine.service import spec_of
from helpers.engine.targets import name_of, resolve
from helpers.errors import UserError
from helpers.runtime.providers import use_device
from helpers.serving.application import Settings
from helpers.serving.server import Server, address_of, end_in_time, listen, new_loop
from helpers.serving.supervisor import Supervisor


def run(
    named: Sequence[str],
    host: str,
    port: int,
    workers: int | None,
    settings: Settings,
    folder: Path | None = None,
    reload: bool = False,
) -> int:
    """Serve targets as they are named on a command line; the exit code is 0 if all was answered at the end.

    ``reload`` takes up changes of the services' source files while it serves.
    """
    if settings.device is not None:  # before a module is imported, which may load a model
        use_device(settings.device)
    if reload:  # a file that is changed twice in a second must not be taken from its bytecode
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    targets = [resolve(each, folder) for each in named]
    if reload and all(isinstance(each, str) for each in targets):
        raise UserError(
            f"--reload watches the source of services, and {', '.join(map(name_of, targets))} has none.",
            "leave it out; a newer version of a model is loaded by POST /v2/repository/models/NAME/load.",
            2,
        )
    workers = workers or max((spec.workers for spec in map(spec_of, targets) if spec is not None), default=1)
    write_to_stderr(settings.log_requests)
    listening = listen(host, port)
    names, address = ", ".join(map(name_of, targets)), address_of(listening)

    def say_so() -> None:
        print(f"Serving {names} at {address} (Ctrl+C stops)", flush=True)

    if workers == 1 and not reload:
        ended_well = _run_here(Server(targets, listening, settings=settings, when_ready=say_so))
    else:
        _expect_room_for_several()
        supervisor = Supervisor(named, listening, workers, settings, say_so, reload)
        _when_told_to_stop(supervisor.stop)
        ended_well = supervisor.run()
    print(
        "Stopped: what was accepted has been answered."
        if ended_well
        else f"Stopped: not everything was done within {settings.grace} seconds.",
        flush=True,
    )
    return 0 if ended_well else 1


def _run_here(server: Server) -> bool:
    _when_told_to_stop(lambda: end_in_time(server, server.tasks.remove))
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(server.run())
    return True


def _expect_room_for_several() -> None:
    """Workers share files: what they count, and their tasks."""
    try:
        tempfile.gettempdir()
    except OSError:
        raise UserError(
            "Several workers need a folder that can be written to, and there is none.",
            "mount one at /tmp, or serve with one worker.",
        ) from None


def _when_told_to_stop(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
