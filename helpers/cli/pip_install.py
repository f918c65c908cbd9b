"""Running pip in an environment: the command, how far it is, and what its failures mean."""

import os
import subprocess
from collections.abc import Callable, Collection
from pathlib import Path

from helpers.cli.environment import Environment
from helpers.cli.pip_progress import PipProgress
from helpers.errors import UserError

# What pip's output says, and what that means to the person who reads it.
FAILURES = [
    (
        ("No space left on device", "not enough space on the disk"),
        "The disk is full.",
        "free 6 GB (10 GB where torch comes with CUDA), then run the same command again.",
    ),
    (
        (
            "Failed to establish a new connection",
            "NewConnectionError",
            "NameResolutionError",
            "Temporary failure in name resolution",
            "ConnectTimeoutError",
            "Read timed out",
            "Network is unreachable",
            "Connection reset by peer",
            "Connection broken",
            "ProxyError",
            "SSLError",
        ),
        "The package index cannot be reached.",
        "check the network (and pip's proxy settings), then run the same command again; "
        "what was downloaded already is kept by pip.",
    ),
    (
        ("Permission denied", "PermissionError", "Access is denied"),
        "A file of the environment cannot be written.",
        "close programs that use .venv, check who owns the folder, then run the same command again.",
    ),
    (
        ("No matching distribution found", "ResolutionImpossible", "Could not find a version"),
        "A pinned package has no build for this Python or this machine, or the index does not offer it.",
        "use CPython 3.11 to 3.13 on Linux, Windows or Apple silicon; the log names the package.",
    ),
]


def pip_command(python: Path, extras: Collection[str]) -> list[str]:
    """How pip installs this checkout with its extras at the pins."""
    project = f".[{','.join(sorted(extras))}]" if extras else "."  # pip refuses ".[]"
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    return [*command, "--constraint", "constraints.txt", "--editable", project]


def run_pip(
    environment: Environment,
    extras: Collection[str],
    say: Callable[[str], None],
    keep_open: tuple[int, ...],
) -> None:
    """Install this checkout with its extras at the pins, and show how far it is."""
    log = environment.folder / "setup.log"
    # PYTHONUNBUFFERED: without it pip's lines would arrive in blocks, long after the fact.
    variables = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    # Until pip begins to unpack, an environment that was whole still is: an update that fails
    # for want of a network must not cost the learner what works.
    progress = PipProgress(
        environment.site_packages, say, when_unpacking=lambda: environment.write_stamp("installing", extras)
    )
    with subprocess.Popen(
        pip_command(environment.python, extras),
        cwd=environment.root,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        # The lock, too: it must outlive a launcher that is killed while pip still writes.
        pass_fds=keep_open,
    ) as pip:
        assert pip.stdout is not None
        output = progress.follow(pip.stdout)
    try:
        log.write_text(output, "utf-8")
    except OSError:
        pass  # the disk may be what is full; the message below names the cause
    if pip.returncode:
        raise explain(output, "pip could not install the packages.", log)


def explain(output: str, sentence: str, log: Path | None) -> UserError:
    """Turn a tool's output into the sentence that a person can act on."""
    where = f" The whole log: {log}" if log else ""
    for marks, meaning, remedy in FAILURES:
        if any(mark.lower() in output.lower() for mark in marks):
            return UserError(meaning, remedy + where)
    errors = [line.strip() for line in output.splitlines() if "error" in line.lower()]
    last = errors[-1] if errors else (output.strip().splitlines() or ["no output"])[-1]
    return UserError(f"{sentence} It said: {last}", f"mend that, then run the same command again.{where}")
