"""What a bundle starts: checks that its files are those that were packed, and serves.

    python run.py                     on 127.0.0.1:3000
    HOST=0.0.0.0 PORT=8080 WORKERS=2 python run.py
    python run.py --check             is the one that runs here ready? For a health check

Written to be copied into bundles as ``run.py``; it stands at their root.
"""

import hashlib
import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class Changed(Exception):
    """A file is not the one that was packed."""


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        return check(os.environ.get("PORT", "3000"))
    try:
        target = prepared()
    except Changed as error:
        print(f"servelab: {error}", file=sys.stderr)
        return 1
    from helpers.engine import Settings, command
    from helpers.errors import UserError

    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "3000"))
    workers = int(os.environ.get("WORKERS", "0")) or None
    try:
        return command.run([target], host, port, workers, Settings(), HERE / "app")
    except UserError as error:
        print(f"servelab: {error}", file=sys.stderr)
        return error.exit_code


def application() -> Any:
    """For a platform that brings a server of its own: what it calls, by ASGI."""
    target = prepared()
    from helpers.engine import Application
    from helpers.engine.targets import resolve

    return Application([resolve(target, HERE / "app")])


def prepared() -> str:
    """What is served here, when all files are as they were packed; from then on Python finds them."""
    about = json.loads((HERE / "bundle.json").read_text("utf-8"))
    wrong = [name for name, digest in about["files"].items() if digest_of(HERE / name) != digest]
    if wrong:
        raise Changed(
            f"This bundle was changed or is not whole: {', '.join(wrong[:3])}.\n"
            "  Remedy: unpack or build it again; a model is replaced by bundling again."
        )
    os.environ["SERVELAB_HOME"] = str(HERE / "lab")
    sys.path[:0] = [str(HERE / "app"), str(HERE / "kit")]
    return str(about["target"])


def check(port: str) -> int:
    """0, if the server that runs here says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
            return 0
    except OSError:
        return 1


def digest_of(path: Path) -> str:
    """The sha256 of a file; none, if there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
