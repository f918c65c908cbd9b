"""The command line of a package that was made from a bundle.

    NAME serve --port 3000            until it is told to stop
    NAME predict request.json         the answer to one request, on stdout
    NAME --version

Written to be copied into packages as ``__main__.py``; the bundle lies beside it.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent / "bundle"


def main() -> int:
    try:
        about = json.loads((HERE / "bundle.json").read_bytes())
    except (OSError, ValueError):
        return _say("This package is damaged: install it again.")
    name = (__package__ or "").removeprefix("servelab_").replace("_", "-")
    parser = argparse.ArgumentParser(prog=name, description=f"The service {about['target']}.")
    release = importlib.metadata.version(name)
    parser.add_argument("--version", action="version", version=f"{name} {release} (bundle {about['version']})")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="answer over HTTP")
    serve.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    serve.add_argument("--port", type=int, default=3000, help="default: 3000; 0 takes one that is free")
    serve.add_argument("--workers", type=int, default=0, help="default: as the service asks")
    predict = commands.add_parser("predict", help="answer one request, and end")
    predict.add_argument("file", type=Path, metavar="FILE.json", help="what would be sent over HTTP; - reads stdin")
    predict.add_argument("--path", help="to which path, as in openapi.json; default: the only one")
    asked = parser.parse_args()
    if asked.command == "serve":
        return _serve(asked.host, asked.port, asked.workers)
    return _predict(asked.file, asked.path)


def _serve(host: str, port: int, workers: int) -> int:
    os.environ |= {"HOST": host, "PORT": str(port), "WORKERS": str(workers)}
    return int(bundle_entry().main([]))


def _predict(file: Path, path: str | None) -> int:
    """Ask a server that is here for this one request: its way is the same, and so is its answer."""
    entry = bundle_entry()
    try:
        target, body = entry.prepared(), sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except entry.Refused as error:
        return _say(str(error))
    except OSError as error:
        return _say(f"{file} cannot be read: {error.strerror}.")
    paths = json.loads((HERE / "openapi.json").read_text("utf-8"))["paths"]
    takes = [each for each, operations in paths.items() if "post" in operations and "{" not in each]
    own = [each for each in takes if not each.startswith(("/v1/", "/v2/"))]
    default = own or [each for each in takes if each.endswith(":predict") and "/versions/" not in each]
    path = path or (default[0] if len(default) == 1 else None)
    if path not in takes:
        return _say(f"Say who is to answer: --path {' or --path '.join(takes)}.")
    from helpers.engine.targets import resolve
    from helpers.errors import UserError
    from helpers.serving import serve

    try:
        with serve(resolve(target, HERE / "app")) as server:
            asked = urllib.request.Request(f"{server.address}{path}", body, {"content-type": "application/json"})
            with urllib.request.urlopen(asked) as answer:
                print(answer.read().decode())
    except UserError as error:
        return _say(str(error))
    except urllib.error.HTTPError as error:
        with error:
            return _say(f"{json.loads(error.read())['error']}.")
    return 0


def bundle_entry() -> Any:
    """The bundle's own run.py, which checks its files before it imports any of them."""
    spec = importlib.util.spec_from_file_location("servelab_run", HERE / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _say(sentence: str) -> int:
    print(f"servelab: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
