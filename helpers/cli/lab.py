"""``lab``: open JupyterLab on the learner's copies of lectures and exercises."""

import argparse
import os
import socket
import sys
from pathlib import Path

from helpers.classroom.workbook import refresh
from helpers.cli.continue_as import continue_as
from helpers.cli.environment import variables
from helpers.cli.ports import port_number
from helpers.cli.start import again_command
from helpers.errors import UserError
from helpers.places import ROOT, WORK

SUMMARY = "open JupyterLab on the course"
EXTRAS = ["course"]

# JupyterLab asks every new user whether it may fetch news, and looks for updates: forty
# learners without a network need neither. This folder switches the plugin off that does both, leaves
# the file browser room for whole names, and keeps outputs out of the course's own notebooks.
CONFIGURATION = Path(__file__).with_name("jupyter")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-browser", action="store_true", help="print the address and open no browser")
    parser.add_argument("--port", type=port_number, help="the port to listen on (otherwise the first free from 8888)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.port is not None:
        refuse_taken(arguments.port)
    address = "/lab"
    for original, copy in refresh(WORK):
        if address == "/lab":  # the first lecture
            # A workspace of its own: the usual one may still have tabs of other projects open.
            address = f"/lab/workspaces/servelab/tree/{WORK.name}/{copy.path.name}"
        if copy.outdated:
            print(
                f"{WORK.name}/{copy.path.name} has your changes, so it was left as it is; the course has a newer "
                f"version. To get it beside yours: {again_command(original)}"
            )
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}"]
    command += [f"--LabApp.default_url={address}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container one is root, and Jupyter would refuse
    if arguments.no_browser:
        command.append("--no-browser")
    if arguments.port is not None:
        command.append(f"--port={arguments.port}")
    path = os.pathsep.join(filter(None, [str(CONFIGURATION), os.environ.get("JUPYTER_CONFIG_PATH")]))
    return continue_as(command, {**variables(), "JUPYTER_CONFIG_PATH": path}, ROOT)


def refuse_taken(port: int) -> None:
    """Say at once that a port is taken, where JupyterLab would silently choose another."""
    with socket.socket() as probe:
        if os.name != "nt":  # as servers do; on Windows the option means something else
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise UserError(f"Port {port} is taken.", "name another, or leave --port out.") from None
