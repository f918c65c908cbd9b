"""Repairing an environment that was moved or copied: everything in it that holds its old path.

That is the first lines of its scripts, the activation scripts, ``pyvenv.cfg``, and the record
of the editable install. Each file is replaced as a whole and the stamp is written last, so an
interrupted repair is finished by the next.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from helpers.cli.environment import PLATFORM, Environment, Stamp
from helpers.errors import UserError

LONGEST_FIRST_LINE = 127  # the kernel of Linux cuts a longer one off; macOS allows more
PLAIN = re.compile(rb"#!(?P<python>[^\n ]+)(?P<options> -[^\n]*)?\n")
BY_SHELL = re.compile(
    rb"#!/bin/sh\n'''exec' \"?(?P<python>[^\n]*?)\"?(?P<options> -[^\n\"]*)? \"\$0\" \"\$@\"\n' '''\n"
)

# Run by the environment's own Python, or by one of the same version that takes the place of one that is gone.
RENEW = """
import pathlib, sys, venv
folder, relink = sys.argv[1], sys.argv[2] == "relink"
builder = venv.EnvBuilder(symlinks=sys.platform != "win32")
context = builder.ensure_directories(folder)
if relink:
    for path in pathlib.Path(context.bin_path).glob("python*"):
        if path.is_symlink():
            path.unlink()
    builder.create_configuration(context)
    builder.setup_python(context)
builder.setup_scripts(context)
"""


def can_relink(environment: Environment, stamp: Stamp) -> bool:
    """True if this Python can take the place of the environment's own, which is gone."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    same = os.name == "nt" or environment.site_packages.parent.name == version
    return same and environment.site_packages.is_dir() and stamp.platform in ("", PLATFORM)


def base_python() -> str:
    """The interpreter below any environment that happens to be active."""
    return str(getattr(sys, "_base_executable", sys.executable))


def repair(environment: Environment, stamp: Stamp, relink: bool = False) -> None:
    """Make everything in the environment refer to where it is now; ``relink`` it to this Python first."""
    python = base_python() if relink else str(environment.python)
    ran = subprocess.run(
        [python, "-I", "-c", RENEW, str(environment.folder), "relink" if relink else "keep"],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise UserError(
            f"The environment {environment.folder} cannot be repaired: {ran.stderr.strip()[-300:]}",
            "rename it, then make a new one: python3 -m helpers setup",
        )
    old, new = str(stamp.written_for), str(environment.folder)
    for path in environment.scripts.iterdir():
        if path.is_file() and not path.is_symlink():
            _change(path, new_script(path.read_bytes(), os.fsencode(old), os.fsencode(new)))
    _change(environment.folder / "pyvenv.cfg", None, old, new)
    for path in environment.site_packages.glob("*.pth"):
        _change(path, None, stamp.root, str(environment.root))
    for path in environment.site_packages.glob("*.dist-info/direct_url.json"):
        _change(path, None, Path(stamp.root).as_uri(), environment.root.as_uri())
    environment.claim(stamp)


def _change(path: Path, content: bytes | None, old: str = "", new: str = "") -> None:
    """Replace a file in one step, unless it would stay the same; without new content, change a path in it."""
    before = path.read_bytes()
    after = changed(before, os.fsencode(old), os.fsencode(new)) if content is None else content
    if after != before:
        beside = path.with_name(path.name + ".servelab-new")
        beside.write_bytes(after)
        shutil.copymode(path, beside)
        with contextlib.suppress(FileNotFoundError):
            beside.replace(path)


def changed(content: bytes, old: bytes, new: bytes) -> bytes:
    """``content`` with one path in place of another; doing it again changes nothing more.

    A path that goes on with a letter is another one: ``/a/.venv2`` is not in ``/a/.venv``.
    """
    kept = content.split(new) if old in new else [content]
    return new.join(re.sub(re.escape(old) + rb"(?![\w.-])", lambda _: new, part) for part in kept)


def new_script(content: bytes, old: bytes, new: bytes) -> bytes:
    """A script with the new path of its interpreter: text on Unix, a program with text in it on Windows."""
    if content.startswith(b"MZ"):
        line = re.compile(rb'#!"?' + re.escape(old) + rb'(?P<python>\\[^"\r\n]*)"?(?=\r?\n)')  # an archive follows it
        return line.sub(lambda found: b'#!"' + new + found["python"] + b'"', content)
    header = BY_SHELL.match(content) or PLAIN.match(content)
    if header is None:
        return content
    python = changed(re.sub(rb'\\([\\"$`])', rb"\1", header["python"]), old, new)
    if not python.startswith(new):
        return content  # not a script of this environment
    return first_lines(python, header["options"] or b"") + content[header.end() :]


def first_lines(python: bytes, options: bytes = b"") -> bytes:
    """What a script begins with so that this interpreter runs it, whatever the interpreter's path looks like."""
    line = b"#!" + python + options + b"\n"
    if b" " not in python and len(line) <= LONGEST_FIRST_LINE:
        return line
    quoted = re.sub(rb'([\\"$`])', rb"\\\1", python)
    return b"#!/bin/sh\n'''exec' \"" + quoted + b'"' + options + b' "$0" "$@"\n' + b"' '''\n"
