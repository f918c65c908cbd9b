"""Programs that use the clients of other servers against ours, each started with our address; and their packages."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.atomic_files import temporary_folder
from helpers.places import ROOT
from helpers.process_lock import ProcessLock

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
REQUIRED = os.environ.get("SERVELAB_REQUIRE_CLIENTS")


def packages() -> Path:
    """The folder of the clients' packages, installed once; without a package index the test is skipped."""
    known = REQUIREMENTS.read_bytes() + sys.implementation.cache_tag.encode()
    folder = ROOT / ".lab" / "clients" / hashlib.sha256(known).hexdigest()[:12]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ProcessLock(folder.parent / "lock"):
        if not folder.exists():
            with temporary_folder(folder.parent, ".new-") as place:
                _install(place / "packages")
                (place / "packages").rename(folder)
    return folder


def run(command: list[str], folder: Path | None = None) -> str:
    """What a program says; it fails if something is not as it expects."""
    path = os.pathsep.join(map(str, filter(None, [folder, ROOT])))
    known = {**os.environ, "PYTHONPATH": path, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    ran = subprocess.run(command, env=known, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def _install(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--ignore-requires-python", "--disable-pip-version-check", "--retries", "1", "--timeout", "15"]
    command += ["--target", str(folder), "--requirement", str(REQUIREMENTS)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        reason = f"the clients cannot be installed: {ran.stderr.strip().splitlines()[-1][:200]}"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
