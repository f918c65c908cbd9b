"""What a bundle starts: checks that its files are those that were packed, and serves.

    python run.py                     on 127.0.0.1:3000
    HOST=0.0.0.0 PORT=8080 WORKERS=2 python run.py
    python run.py --check             is the one that runs here ready? For a health check

Written to be copied into bundles as ``run.py``; it stands at their root. The check finds accidents, and is
no seal: who can write a file can write ``bundle.json`` too.
"""

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # the script's folder: what lies in it is no module of Python's, whatever its name

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHECKED = ("app", "kit", "lab")  # folders in which nothing may lie but what was packed
OLDEST = (3, 11)
MOST_WORKERS = 64
NO_MEMORY = ("can't start new thread", "failed to map segment", "bad_alloc")  # said by others than Python


class Refused(Exception):
    """Why this bundle does not start here: a sentence, and what to do about it."""

    def __init__(self, sentence: str, remedy: str, exit_code: int = 1) -> None:
        super().__init__(f"{sentence}\n  Remedy: {remedy}")
        self.exit_code = exit_code


def main(arguments: list[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):  # the first process of a container does not end by itself
        signal.signal(number, _end_at_once)
    try:
        if arguments == ["--check"]:
            return check(_number("PORT", 3000, 65535))
        if arguments:
            raise Refused(f"{arguments[0]} is no option.", "settings are variables: HOST, PORT, WORKERS.", 2)
        return _serve(prepared())
    except Refused as error:
        print(f"servelab: {error}", file=sys.stderr)
        return error.exit_code


def application() -> Any:
    """For a platform that brings a server of its own: what it calls, by ASGI."""
    target = prepared()
    from helpers.engine.targets import resolve
    from helpers.serving import Application

    return Application([resolve(target, HERE / "app")])


def prepared() -> str:
    """What is served here, when all is as it was packed; from then on Python finds it."""
    if sys.version_info < OLDEST:
        raise Refused(f"This is Python {_version()}, and the bundle needs 3.11 or newer.", "start it with another.")
    try:
        about = json.loads((HERE / "bundle.json").read_bytes())
        target, files, packages = str(about["target"]), dict(about["files"]), dict(about["packages"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Refused("bundle.json is missing or damaged.", "unpack or build the bundle again.") from None
    wrong = [name for name, digest in files.items() if digest_of(HERE / name) != digest]
    if wrong:
        raise Refused(
            f"This bundle was changed or is not whole: {_some(wrong)}.",
            "unpack or build it again; a model is replaced by bundling again.",
        )
    if others := unknown(HERE, files):
        raise Refused(f"There are files that were not packed: {_some(others)}.", "remove them, or bundle again.")
    _expect_packages(packages)
    if _version() != about.get("python", _version()):
        print(f"servelab: This is Python {_version()}; it was packed with {about['python']}.", file=sys.stderr)
    os.environ["SERVELAB_HOME"] = str(HERE / "lab")
    sys.path[:0] = [str(HERE / "app"), str(HERE / "kit")]
    return target


def check(port: int) -> int:
    """0, if the server that runs here says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
            return 0
    except (OSError, http.client.HTTPException):
        return 1


def digest_of(path: Path) -> str:
    """The sha256 of a file; none, if there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def unknown(folder: Path, files: Any) -> list[str]:
    """What lies among a bundle's files and was not packed: Python could import it, or the store take it for a model."""
    found = []
    for part in CHECKED:
        for path in sorted((folder / part).rglob("*")):
            name = path.relative_to(folder).as_posix()
            hidden = any(each.startswith(".") or each == "__pycache__" for each in name.split("/"))
            if name not in files and not hidden and (path.is_symlink() or not path.is_dir()):
                found.append(name)
    return found


def _serve(target: str) -> int:
    host, port = os.environ.get("HOST") or "127.0.0.1", _number("PORT", 3000, 65535)
    workers = _number("WORKERS", 0, MOST_WORKERS) or None
    try:
        socket.getaddrinfo(host, port)
    except (OSError, UnicodeError):
        raise Refused(f"HOST is {host!r}, which is no address.", "0.0.0.0 is every one of this machine.", 2) from None
    try:
        from helpers.errors import UserError
        from helpers.serving import Settings, command

        try:
            return command.run([target], host, port, workers, Settings(), HERE / "app")
        except UserError as error:
            raise Refused(error.sentence, error.remedy.replace("--port 0", "PORT=0"), error.exit_code) from None
    except (MemoryError, RuntimeError, ImportError, OSError) as error:
        if isinstance(error, MemoryError) or any(each in str(error) for each in NO_MEMORY):
            raise Refused("There is not enough memory to start.", "allow it more.") from None
        if isinstance(error, ImportError):
            told = str(error).strip().splitlines() or ["?"]
            raise Refused(f"A package of the bundle cannot be imported: {told[0]}.", _install()) from None
        if isinstance(error, OSError):
            raise Refused(f"The system does not let it serve: {error}.", "WORKERS=1 asks the least of it.") from None
        raise


def _number(name: str, default: int, most: int) -> int:
    text = os.environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > most:
        raise Refused(f"{name} is {text!r}.", f"it is a number from 0 to {most}.", 2)
    return int(text)


def _expect_packages(wanted: Any) -> None:
    """Refuse other packages than those of the lock. Where no package says what it is, imports will tell."""
    found = _installed()
    here = {name: found.get(name) or found.get(f"{name}-gpu") for name in wanted}  # CUDA's build stands for the other
    if sys.platform == "win32":
        here.pop("uvloop", None)
    wrong = [
        f"{name} {version} in place of {wanted[name]}" if version else f"{name} is missing"
        for name, version in here.items()
        if version != wanted[name]
    ]
    if wrong and any(here.values()):
        raise Refused(f"This Python has not the packages of the bundle: {_some(wrong)}.", _install())


def _install() -> str:
    """The command that gives this Python the packages of the bundle, wherever it is run."""
    words = [sys.executable or "python", "-m", "pip", "install", "--requirement", str(HERE / "requirements.txt")]
    return " ".join(word if re.fullmatch(r"[\w@%+=:,./\\-]+", word) else f'"{word}"' for word in words)


def _installed() -> dict[str, str]:
    """Packages and their versions, by the names of their folders: importlib.metadata would take a tenth of a start."""
    found = {}
    for place in reversed(sys.path):  # the first that has a package counts
        try:
            names = [each.name for each in Path(place or ".").iterdir()]
        except OSError:
            continue
        for each in names:
            if each.endswith(".dist-info"):
                name, _, version = each[: -len(".dist-info")].partition("-")
                found[re.sub(r"[-_.]+", "-", name).lower()] = version.partition("+")[0]
    return found


def _end_at_once(*_: Any) -> None:
    """Told to stop before there is anyone to answer."""
    os.write(1, b"Stopped before it answered.\n")  # print may be at work just now
    os._exit(0)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
