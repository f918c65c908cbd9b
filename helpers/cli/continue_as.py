"""Going on as another program."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def continue_as(command: list[str], variables: Mapping[str, str] | None = None, folder: Path | None = None) -> int:
    """Become another program, where the system can; else run it and return its exit code.

    Ctrl-C then reaches that program alone, which decides when to end: JupyterLab, say,
    asks first.
    """
    environment = dict(os.environ if variables is None else variables)
    if os.name != "nt":
        sys.stdout.flush()
        if folder is not None:
            os.chdir(folder)
        os.execve(command[0], command, environment)
    child = subprocess.Popen(command, env=environment, cwd=folder)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue
