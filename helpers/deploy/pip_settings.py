"""What pip is told on this machine (its index, a proxy, certificates), for a build that is to use the same.

It may hold passwords, so that it goes into a build as secrets: files that are there while packages are
installed, and in no layer.
"""

import ast
import configparser
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# Which index, and how it is reached. Where packages go to is the build's own affair.
ADDRESSES = ("index-url", "extra-index-url", "find-links")
OTHERS = ("no-index", "trusted-host", "proxy", "timeout", "default-timeout", "retries", "prefer-binary")
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")  # what pip looks at when it is told none
INSIDE = "/run/secrets/pipcert"


def settings() -> dict[str, str]:
    """What counts for ``pip install``, from every file and variable that pip reads, in its own order."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    lines = [line.partition("=") for line in told.splitlines()]
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for key, _, value in lines:
            if key.startswith(f"{section}."):
                found[key.removeprefix(f"{section}.").replace("_", "-")] = str(ast.literal_eval(value))
    return found


def secrets(folder: Path, told: Mapping[str, str] | None = None) -> tuple[dict[str, Path], list[str]]:
    """Write the files of the secrets into ``folder``; and what is not in them, for a build does not see it."""
    told = settings() if told is None else told
    kept = {name: told[name] for name in OTHERS if name in told}
    left_out = []
    for name in ADDRESSES:
        words = told.get(name, "").split()
        reached = [word for word in words if "://" in word and not word.startswith("file:")]
        left_out += [word for word in words if word not in reached]
        if reached:
            kept[name] = "\n".join(reached)
    files = {}
    certificate = told.get("cert") or next((os.environ[name] for name in CERTIFICATES if os.environ.get(name)), "")
    if certificate and Path(certificate).is_file():
        kept["cert"] = INSIDE
        files["pipcert"] = _private(folder / "pipcert", Path(certificate).read_bytes())
    if kept:
        parser = configparser.RawConfigParser()
        parser["global"] = kept
        text = io.StringIO()
        parser.write(text)
        files["pipconf"] = _private(folder / "pipconf", text.getvalue().encode())
    return files, left_out


def _private(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
