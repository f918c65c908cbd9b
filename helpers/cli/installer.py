"""Making, updating and repairing the environment: visible, and safe to interrupt.

Nothing that may be in use is deleted. A first installation is made in place and stamped as ready
at its end; one that was interrupted is gone on with; a moved environment is repaired where it is;
and where a new one must take the place of another, it is made beside that and then swapped in.
"""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from helpers.cli import pip_install, relocation
from helpers.cli.environment import Environment, Stamp, State, is_child
from helpers.errors import UserError
from helpers.installed import how_to_install
from helpers.process_lock import ProcessLock

# What the course and the tests unpack to, and what pip needs beside it while it does so.
GIB = 1024**3
DISK_NEEDED = 6 * GIB


def make_usable(environment: Environment, extras: Collection[str], say: Callable[[str], None] = print) -> None:
    """Let a command that needs these extras run in the environment, or say what to do first.

    A command that a person typed makes a missing environment, repairs a moved one and adds
    packages to one of the same pins. Only ``setup`` replaces packages, and a process that
    another one started changes nothing at all.
    """
    if is_child():
        _expect_usable(environment, extras)
        return
    state = environment.state()
    if state is State.MOVED or (state is State.BROKEN and _can_relink(environment)):
        _repair(environment, say)
        state = environment.state()
    if state is State.BROKEN:
        raise _refusal(environment, state, extras)
    if state is not State.WHOLE or environment.has_current_pins():
        install(environment, extras, say)
    elif missing := environment.missing(extras):
        raise UserError(
            f"This needs {_some(missing)}, and the environment was made from other pins than this checkout has now.",
            how_to_install(*extras),
        )
    elif environment.is_current():  # else the process that goes on inside it says so
        notice = "This checkout's pins have changed since its environment was made."
        print(f"servelab: {notice} To update it: {how_to_install()}", file=sys.stderr)


def _expect_usable(environment: Environment, extras: Collection[str]) -> None:
    """Refuse, in a process that must not install anything, what cannot run in the environment as it is."""
    state = environment.state()
    if environment.is_usable() or (state is State.UNFINISHED and environment.is_current()):
        if missing := environment.missing(extras):
            raise UserError(f"This needs packages that are not installed: {_some(missing)}.", how_to_install(*extras))
        return
    raise _refusal(environment, state, extras)


def _refusal(environment: Environment, state: State, extras: Collection[str]) -> UserError:
    return UserError(f"The environment {environment.folder} {state.value}.", f"run: {how_to_install(*extras)}")


def _some(names: Collection[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def install(
    environment: Environment,
    extras: Iterable[str],
    say: Callable[[str], None] = print,
    disk_needed: int = DISK_NEEDED,
) -> None:
    """Bring the environment to the state in which ``is_ready(extras)`` holds, and keep the extras that it has."""
    with hold_checkout(environment, say) as lock:
        try:
            finish_swap(environment)
            _install(environment, set(extras), say, disk_needed, lock.descriptors)
        except OSError as error:
            raise _cannot_write(environment, error) from None


def _install(
    environment: Environment,
    wanted: set[str],
    say: Callable[[str], None],
    disk_needed: int,
    keep_open: tuple[int, ...],
) -> None:
    if environment.is_ready(wanted):  # another run made it while this one waited
        return
    state, stamp = environment.state(), environment.read_stamp()
    if state is State.FOREIGN:
        raise UserError(
            f"{environment.folder} exists, but this command did not make it.",
            "rename or delete it, then run the same command again.",
        )
    wanted |= set(stamp.extras) & environment.project()["optional-dependencies"].keys() if stamp else set()
    if state is State.BROKEN and not _can_relink(environment):
        _replace(environment, wanted, say, disk_needed, keep_open)
        return
    if stamp and (state is State.BROKEN or (environment.python.exists() and not environment.is_here(stamp))):
        _repair_now(environment, stamp, state, say)
    if not environment.is_ready(wanted):
        if state is State.UNFINISHED and stamp:
            say("An earlier run did not finish: going on with it.")
            remove_half_installed(environment)
        if not _has_pip(environment):
            check_beforehand(environment, disk_needed)
            make_venv(environment, wanted, say)
        pip_install.run_pip(environment, wanted, say, keep_open)
        environment.write_stamp("ready", wanted)
    say(f"The environment is ready: {environment.folder}")


def _replace(
    environment: Environment,
    wanted: set[str],
    say: Callable[[str], None],
    disk_needed: int,
    keep_open: tuple[int, ...],
) -> None:
    """Make a new environment beside one that cannot run here, and put it in its place when it is ready."""
    new = beside(environment)
    say(f"The environment's own Python does not run here: making a new one of {sys.version.split()[0]} beside it.")
    check_beforehand(new, disk_needed)
    make_venv(new, wanted, say)
    pip_install.run_pip(new, wanted, say, keep_open)
    new.write_stamp("ready", wanted)
    finish_swap(environment)
    say(f"The environment is ready: {environment.folder}")


def beside(environment: Environment) -> Environment:
    """Where a new environment is made while the old one stays."""
    return Environment(environment.root, f"{environment.folder.name}-new")


def finish_swap(environment: Environment) -> None:
    """Put an environment that was made beside this one in its place, and tidy up, wherever an earlier run ended."""
    new = beside(environment)
    old = Environment(environment.root, f"{environment.folder.name}-old")
    stamp = new.read_stamp()
    if new.folder.exists() and not (stamp and stamp.state == "ready"):
        shutil.rmtree(new.folder)
    elif stamp:
        if environment.folder.exists():
            shutil.rmtree(old.folder, ignore_errors=True)
            environment.folder.rename(old.folder)
        new.folder.rename(environment.folder)
        relocation.repair(environment, stamp)
    if environment.folder.exists():
        shutil.rmtree(old.folder, ignore_errors=True)


def _can_relink(environment: Environment) -> bool:
    stamp = environment.read_stamp()
    return stamp is not None and relocation.can_relink(environment, stamp)


def _repair(environment: Environment, say: Callable[[str], None]) -> None:
    """Repair the environment, unless another run did so meanwhile."""
    with hold_checkout(environment, say):
        state, stamp = environment.state(), environment.read_stamp()
        if stamp and state in (State.MOVED, State.BROKEN):
            try:
                _repair_now(environment, stamp, state, say)
            except OSError as error:
                raise _cannot_write(environment, error) from None


def _repair_now(environment: Environment, stamp: Stamp, state: State, say: Callable[[str], None]) -> None:
    if state is State.BROKEN:
        say(f"The environment's Python is gone: linking {environment.folder} to {relocation.base_python()}")
    else:
        say(f"The checkout was moved or copied: repairing the paths in {environment.folder}")
    relocation.repair(environment, stamp, relink=state is State.BROKEN)


def _cannot_write(environment: Environment, error: OSError) -> UserError:
    return UserError(
        f"The environment cannot be written ({error}).",
        f"free some disk space, or check who owns {environment.folder}, then run the same command again.",
    )


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
    """Make an empty environment, or complete one whose making was interrupted."""
    say(f"Making the environment {environment.folder}")
    environment.folder.mkdir(parents=True, exist_ok=True)
    environment.write_stamp("installing", extras)
    made = subprocess.run(
        [relocation.base_python(), "-m", "venv", str(environment.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode:
        raise pip_install.explain(made.stdout, "Python could not make the virtual environment.", None)


def _has_pip(environment: Environment) -> bool:
    return environment.python.exists() and any(environment.site_packages.glob("pip-*.dist-info"))


def remove_half_installed(environment: Environment) -> None:
    """Remove the records of packages that pip had not completely unpacked, so that it unpacks them again."""
    for record in environment.site_packages.glob("*.dist-info"):
        if not _is_complete(record):
            shutil.rmtree(record)
    for leftover in environment.site_packages.glob("~*"):  # what pip had set aside to replace it
        if leftover.is_dir():
            shutil.rmtree(leftover)


def _is_complete(record: Path) -> bool:
    """True if pip came to its last steps with a package, and each file has the size that was noted."""
    try:
        lines = (record / "RECORD").read_text("utf-8").splitlines()
    except OSError:
        return False
    if not lines or not (record / "INSTALLER").exists():
        return False
    for line in lines:
        name, _, size = line.rsplit(",", 2)
        path = record.parent / name.strip('"')
        # Scripts and the links of editable installs have another size after the checkout was moved.
        moves = name.startswith("..") or path.suffix == ".pth" or path.name == "direct_url.json"
        if path.suffix != ".pyc" and not path.is_file():
            return False
        if size and not moves and path.stat().st_size != int(size):
            return False
    return True
