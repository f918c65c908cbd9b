"""Making the environment: visible, safe to interrupt, and plain about what went wrong.

The steps are few: check what can be checked beforehand, make ``.venv``, let pip
install the pins into it, stamp it as ready. Until that stamp is written the
environment counts as unfinished, and the next run begins it anew.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from helpers.cli.environment import Environment
from helpers.cli.pip_progress import PipProgress
from helpers.errors import UserError
from helpers.process_lock import ProcessLock

# What the course and the tests unpack to, and what pip needs beside it while it does so.
GIB = 1024**3
DISK_NEEDED = 6 * GIB

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


def install(
    environment: Environment,
    extras: Iterable[str],
    say: Callable[[str], None] = print,
    disk_needed: int = DISK_NEEDED,
) -> None:
    """Bring the environment to the state in which ``is_ready(extras)`` holds."""
    with hold_checkout(environment, say) as lock:
        wanted = set(extras)
        if environment.is_ready(wanted):  # another run made it while this one waited
            return
        check_beforehand(environment, disk_needed)
        try:
            if environment.is_whole():
                stamp = environment.read_stamp()
                wanted |= set(stamp.extras if stamp else ())
            else:
                make_venv(environment, wanted, say)
            run_pip(environment, wanted, say, lock.descriptors)
            environment.write_stamp("ready", wanted)
        except OSError as error:
            raise UserError(
                f"The environment cannot be written ({error}).",
                "free some disk space, or check who owns .venv, then run the same command again.",
            ) from None
        say(f"The environment is ready: {environment.folder}")


def hold_checkout(environment: Environment, say: Callable[[str], None]) -> ProcessLock:
    """The lock that keeps two runs from writing one environment."""
    try:
        return ProcessLock(
            environment.root / ".venv.lock",
            lambda: say("Another run is making the environment: waiting for it."),
        )
    except OSError as error:
        raise UserError(
            f"The folder {environment.root} cannot be written to ({error.strerror}).",
            "free some disk space, or clone the course to a folder of your own.",
        ) from None


def check_beforehand(environment: Environment, disk_needed: int) -> None:
    """Refuse at once what could only fail later."""
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise UserError(
                f"This Python has no {module} module, so it cannot make a virtual environment.",
                f"on Debian and Ubuntu: sudo apt install python{version}-venv; "
                "elsewhere install Python from python.org or conda.",
            )
    already_there = environment.folder.exists()
    free = shutil.disk_usage(environment.root).free
    if free < disk_needed and not already_there:
        raise UserError(
            f"The disk has {free / GIB:.1f} GB free; the environment needs {disk_needed / GIB:.0f} GB.",
            "free some space, or clone the course onto another disk.",
        )


def make_venv(environment: Environment, extras: Iterable[str], say: Callable[[str], None]) -> None:
    """Make an empty environment, in place of an unfinished one if need be."""
    folder = environment.folder
    if folder.exists():
        # A stamp cut short, by a full disk say, is still a sign that the folder is ours.
        others = [path for path in folder.iterdir() if path.stem != environment.stamp_file.stem]
        if environment.read_stamp() is None and others:
            raise UserError(
                f"{folder} exists, but this command did not make it.",
                "rename or delete it, then run the same command again.",
            )
        say("An earlier run did not finish, or the checkout was moved: beginning anew.")
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise UserError(
                f"The unfinished environment cannot be deleted ({error}).",
                f"close programs that use it, delete {folder}, then run the same command again.",
            ) from None
    say(f"Making the environment {folder}")
    folder.mkdir(parents=True)
    environment.write_stamp("installing", extras)
    made = subprocess.run(
        # The interpreter below any environment that happens to be active, be it the one just deleted.
        [getattr(sys, "_base_executable", sys.executable), "-m", "venv", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode:
        raise explain(made.stdout, "Python could not make the virtual environment.", None)


def run_pip(
    environment: Environment,
    extras: Iterable[str],
    say: Callable[[str], None],
    keep_open: tuple[int, ...],
) -> None:
    """Install this checkout with its extras at the pins, and show how far it is."""
    log = environment.folder / "setup.log"
    command = [str(environment.python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--constraint", "constraints.txt", "--editable", f".[{','.join(sorted(extras))}]"]
    # PYTHONUNBUFFERED: without it pip's lines would arrive in blocks, long after the fact.
    variables = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    # Until pip begins to unpack, an environment that was whole still is: an update that fails
    # for want of a network must not cost the learner what works.
    progress = PipProgress(
        environment.site_packages, say, when_unpacking=lambda: environment.write_stamp("installing", extras)
    )
    with subprocess.Popen(
        command,
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
        pass  # the disk may be the very thing that is full; the cause is told below
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
