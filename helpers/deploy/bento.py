"""BentoML's way beside ours: a bundle as a BentoML project, and the bento that ``bentoml build`` makes of it.

PROJECT/
    service.py         the bundle's service in BentoML's form: a class with typed APIs
    bentofile.yaml     what goes into the bento, and what its image needs
    requirements.txt   the bundle's own lock, and BentoML
    bundle/            the bundle, which does the work; it is checked when service.py is imported
"""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers.deploy.packing import Bundle
from helpers.deploy.unfinished import unfinished
from helpers.errors import UserError
from helpers.installed import expect_installed
from helpers.places import ROOT, lab_home

BENTOFILE = """\
service: "service:{title}"     # the module, and the class in it
name: "{name}"
labels:
  bundle: "{bundle}"
include:                       # all else in this folder stays here
  - service.py
  - bundle/
python:
  requirements_txt: requirements.txt
  # The lock is used as it is. With true, the default, BentoML asks a package index which versions of
  # its own needs are the newest, and locks them, which takes a network. Without, pip chooses them
  # when the image is built: two images of one bento may differ there.
  lock_packages: false
docker:
  python_version: "{python}"
"""


@dataclass(frozen=True)
class Built:
    """A bento: where it lies among BentoML's, and the Dockerfile that BentoML wrote for it."""

    tag: str
    path: Path
    seconds: float
    size: int  # bytes
    dockerfile: str


def project(bundle: Bundle, into: Path) -> Path:
    """Write the BentoML project of a bundle into a new folder inside ``into``."""
    expect_installed("BentoML's form", ["bentoml"])
    if changed := bundle.changed():
        raise UserError(f"{bundle.path.name} was changed after it was packed: {changed[0]}.", "bundle it again.")
    whole = into / f"{bundle.path.name}-bento"
    if whole.exists():
        raise UserError(f"{whole} is there already.", "remove it, or name another folder.", 2)
    about = json.loads((bundle.path / "bundle.json").read_text("utf-8"))
    told = _service_of(bundle) | {"name": bundle.name.lower(), "bundle": bundle.path.name, "python": about["python"]}
    lock = (bundle.path / "requirements.txt").read_text("utf-8")
    texts = {
        "service.py": told["text"],
        "bentofile.yaml": BENTOFILE.format(**told),
        "requirements.txt": f"{lock}bentoml=={importlib.metadata.version('bentoml')}\n",
    }
    with unfinished(into, ".bento-") as place:
        beside = place / "project"
        for name in [*bundle.files, "bundle.json"]:
            target = beside / "bundle" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, target)
        for name, text in texts.items():
            (beside / name).write_text(text, "utf-8", newline="\n")
        beside.replace(whole)
    return whole


def build(project: Path, say: Callable[[str], None] = print, home: Path | None = None) -> Built:
    """Run ``bentoml build`` on a project; no network is needed. ``home`` is where BentoML keeps what it makes."""
    expect_installed("Building a bento", ["bentoml"])
    home = home or lab_home() / "bentoml"
    bundle = Bundle.read(project / "bundle")
    tag = bundle.reference
    path = home / "bentos" / tag.replace(":", "/")
    shutil.rmtree(path, ignore_errors=True)  # BentoML refuses a version that is there
    said = ["build", "--version", bundle.version, "--output", "tag", str(project)]
    say(f"bentoml {' '.join(said)}")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="servelab-bento-") as place:
        searched = f"{os.environ.get('PATH', '')}{os.pathsep}{_without_uv(Path(place))}"
        known = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "PATH": searched}
        command = [sys.executable, "-m", "bentoml", *said]
        ran = subprocess.run(command, env=known, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if ran.returncode != 0 or not path.is_dir():
        lines = [line for line in (ran.stderr or ran.stdout).splitlines() if line.strip() and line[0] != " "]
        told = lines[-1][:300] if lines else "it said nothing."
        raise UserError(f"bentoml did not build it: {told}", f"see where: bentoml build {project}")
    seconds = time.perf_counter() - began
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    say(f"{tag}: {size / 1e6:.1f} MB in {seconds:.1f} s")
    return Built(tag, path, seconds, size, (path / "env" / "docker" / "Dockerfile").read_text("utf-8"))


def _without_uv(folder: Path) -> Path:
    """BentoML would install uv into this Python, if there is none, even with nothing to lock: so it finds a name."""
    name, text = ("uv.bat", "@exit 1\r\n") if sys.platform == "win32" else ("uv", "#!/bin/sh\nexit 1\n")
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder


def _service_of(bundle: Bundle) -> dict[str, str]:
    """service.py, from a process that may import the bundle's code."""
    command = [sys.executable, "-m", "helpers.deploy.bento_service", str(bundle.path.resolve())]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if ran.returncode != 0:
        raise UserError(f"{bundle.path.name} cannot be read.", ran.stderr.strip()[-800:])
    told = json.loads(ran.stdout.strip().splitlines()[-1])
    if "sentence" in told:
        raise UserError(told["sentence"], told["remedy"], told["exit_code"])
    return dict(told)
