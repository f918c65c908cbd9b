"""Run a command for as long as the program that asked for it lives: ``python -m helpers.bench.tether COMMAND…``

A notebook's kernel may be restarted or killed at any time, and a server that it started must
not stay behind. This process holds one end of a pipe (its stdin) whose other end is the
asker's: when that closes, for whatever reason, the command and its children are ended.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 10


def main(command: list[str]) -> int:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_end_with_asker, args=(child,), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(child, signal.SIGTERM))
    return child.wait()


def _end_with_asker(child: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 4096):  # the bare file: Python's own stdin cannot be left by a thread that waits in it
        pass
    _end(child, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)
    _end(child, getattr(signal, "SIGKILL", signal.SIGTERM))


def _end(child: "subprocess.Popen[bytes]", number: int) -> None:
    """The child, and where there are process groups its children with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, number)
        elif child.poll() is None:
            child.terminate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
