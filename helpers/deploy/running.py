"""An image of our own, running: its files unpacked, and its entry point started on a port of this machine."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from helpers.deploy import images, oci, sandbox
from helpers.errors import UserError


def start_command(reference: str, root: Path, port: int) -> list[str]:
    """Unpack an image into ``root``, and the command that runs it there, on loopback only."""
    try:
        _, config = oci.read(images.layout(), reference)
    except KeyError:
        there_are = ", ".join(name for name, *_ in images.listed()) or "none"
        raise UserError(f"There is no image {reference!r}.", f"choose from: {there_are}.", 2) from None
    oci.unpack(images.layout(), reference, root)
    started = config["config"]
    settings = dict(entry.split("=", 1) for entry in started["Env"]) | {"HOST": "127.0.0.1", "PORT": str(port)}
    return sandbox.command_for(root, started["Entrypoint"], settings, started["WorkingDir"])


@contextlib.contextmanager
def unpacked(reference: str, port: int) -> Iterator[list[str]]:
    """The command that runs an image, for as long as its files are there."""
    with tempfile.TemporaryDirectory(prefix="servelab-root-", ignore_cleanup_errors=True) as place:
        yield start_command(reference, Path(place), port)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Tell the service and what was put around it to come to an end."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
