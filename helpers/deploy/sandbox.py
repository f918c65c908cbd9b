"""Run an image's files where no container engine is: in namespaces of its own if the kernel lets us.

What isolates the process, best first: bubblewrap; unshare (user, mount and pid namespaces); chroot,
for root only. The address space of the network stays the machine's own, so that its ports are
reached as usual; a service started so listens on loopback only.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from helpers.errors import UserError


def command_for(root: Path, start: Sequence[str], environment: Mapping[str, str], folder: str) -> list[str]:
    """The command that runs ``start`` with ``root`` as its whole file system."""
    settings = [f"{name}={value}" for name, value in environment.items()]
    if shutil.which("bwrap") and _works(["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "true"]):
        binds = ["--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", folder]
        sets = [part for name, value in environment.items() for part in ("--setenv", name, value)]
        return ["bwrap", "--unshare-pid", "--die-with-parent", "--clearenv", *binds, *sets, *start]
    inside = "mount -t proc proc {0}/proc && mount --rbind /dev {0}/dev && cd / && exec env -i {1} {3} {0} {2}"
    for place in ("proc", "dev"):
        (root / place).mkdir(exist_ok=True)
    change_root = shutil.which("chroot") or "/usr/sbin/chroot"
    script = inside.format(
        _quoted(str(root)), " ".join(map(_quoted, settings)), " ".join(map(_quoted, start)), change_root
    )
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child=TERM"]
    if shutil.which("unshare") and _works([*unshare, "true"]):
        return [*unshare, "sh", "-c", script]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("chroot"):
        return ["env", "-i", *settings, str(shutil.which("chroot")), str(root), *start]
    raise UserError(
        f"Nothing here can run an image: no container engine, and {sys.platform} gives no namespaces to this user.",
        "copy .lab/images to a machine with Docker or podman, or run the bundle itself: python run.py",
    )


def limited(command: Sequence[str], megabytes: int | None) -> list[str]:
    """The same command with so much of address space at most; a container engine counts what is really used."""
    if megabytes is None:
        return list(command)
    return ["sh", "-c", 'ulimit -v "$0" && exec "$@"', str(megabytes * 1024), *command]


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)
