"""A bundle's first start, before anybody relies on it: in its own directory, as it will be started elsewhere.

Nothing of the folder that it was made from is in reach, so that what was not packed is missing here too.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from helpers.deploy import entry
from helpers.deploy.child_process import ChildProcess
from helpers.errors import UserError

READY = re.compile(r"Serving .* at http://127\.0\.0\.1:\d+ \(Ctrl\+C stops\)")
STOP_SECONDS = 20.0
# Leaves of Python's path only its own library and folders of installed packages: not the checkout, nor a project
# that was installed for editing, which would lend the bundle what it lacks.
ISOLATED = """\
import runpy, site, sys, sysconfig
from pathlib import Path
places = [*site.getsitepackages(), site.getusersitepackages(), *map(sysconfig.get_path, ("stdlib", "platstdlib"))]
places += [entry for entry in sys.path if entry.endswith(".zip") or any(Path(entry or ".").glob("*.dist-info"))]
places = [Path(place).resolve() for place in places]
sys.path[:] = [entry for entry in sys.path if any(Path(entry or ".").resolve().is_relative_to(each) for each in places)]
sys.meta_path[:] = [each for each in sys.meta_path if not getattr(each, "__module__", "").startswith("__editable__")]
runpy.run_path("run.py", run_name="__main__")
"""


class FailedStart(Exception):
    """The bundle did not start: the service's own line about it, if it wrote one."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.line = line


def start_once(folder: Path, files: Mapping[str, str], seconds: float, say: Callable[[str], None]) -> None:
    """Start the bundle in ``folder``, wait until it is ready, stop it, and take away what the start left there."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path := _packages_on(os.environ.get("PYTHONPATH", "")):
        environment["PYTHONPATH"] = path
    environment |= {"HOST": "127.0.0.1", "PORT": "0", "WORKERS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-B", "-u", "-c", ISOLATED]
    before = set(folder.rglob("*"))
    with ChildProcess(command, folder, environment, seconds) as child:
        try:
            # The server writes this line when it is ready. It is not asked: there may be no network, not even loopback.
            is_ready = any(READY.fullmatch(line) for line in child.lines())
        except TimeoutError:
            raise UserError(
                f"The bundle was not ready within {seconds:g} seconds of its start.",
                "allow it more: --timeout SECONDS; or see where it waits: python3 -m helpers serve",
            ) from None
        if not is_ready:
            raise FailedStart(_own_line(child.stderr(), child.wait(STOP_SECONDS)))
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except TimeoutError:
            say(f"note: it did not end within {STOP_SECONDS:g} seconds after it was asked to stop")
    _tidy(folder, files, before)


def _own_line(stderr: str, code: int) -> str:
    """What a person needs of stderr: the sentence of run.py, or the last line of a traceback."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    own = [line.removeprefix("servelab: ") for line in lines if line.startswith("servelab: ")]
    if code < 0:
        return f"it was killed by signal {-code}"
    return (own or lines or [f"it ended with code {code}"])[-1]


def _tidy(folder: Path, files: Mapping[str, str], before: set[Path]) -> None:
    """Remove what the start left. A file that the next start would refuse is the service's mistake."""
    changed = [name for name, digest in files.items() if entry.digest_of(folder / name) != digest]
    if wrong := changed + entry.unknown(folder, files):
        raise UserError(
            f"The service writes into its own bundle when it starts: {wrong[0]}. The next start would refuse it.",
            "let it write elsewhere: into tempfile.gettempdir(), or where a variable names a folder.",
        )
    for path in sorted(set(folder.rglob("*")) - before, reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


def _packages_on(paths: str) -> str:
    """Of PYTHONPATH the folders that hold installed packages."""
    return os.pathsep.join(each for each in paths.split(os.pathsep) if each and any(Path(each).glob("*.dist-info")))
