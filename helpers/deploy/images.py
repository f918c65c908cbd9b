"""Images of bundles: built by Docker, podman or buildah where one works, and by plain Python anywhere on Linux."""

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers.deploy import oci, system
from helpers.deploy.packing import Bundle
from helpers.errors import UserError
from helpers.places import lab_home

ENGINES = ("docker", "podman", "buildah")
PYTHON = "python"  # the builder of our own
ENVIRONMENT = {
    "PYTHONPATH": system.PACKAGES,
    "LD_LIBRARY_PATH": system.LIBRARIES,
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "HOST": "0.0.0.0",
    "PORT": "3000",
    "WORKERS": "1",
}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """An image that was built: by whom, how long it took, and how large it is, in bytes."""

    reference: str
    builder: str
    seconds: float
    unpacked: int
    packed: int | None


def layout() -> Path:
    """Where our own images lie."""
    return lab_home() / "images"


def working_engines() -> list[str]:
    """Those that are installed and answer."""
    return [name for name in ENGINES if shutil.which(name) and _quietly([name, "info"]).returncode == 0]


def build(bundle: Bundle, builder: str | None = None, say: Say = print) -> Made:
    """Build the bundle's image with the builder that is named, or else with the first that can."""
    if changed := bundle.changed():
        raise UserError(f"{bundle.path.name} was changed after it was packed: {changed[0]}.", "bundle it again.")
    if builder is not None and builder != PYTHON:
        return _with_engine(bundle, builder, say)
    for engine in working_engines() if builder is None else ():
        try:
            return _with_engine(bundle, engine, say)
        except UserError as error:
            say(f"{error.sentence} {error.remedy}")
            say("going on in plain Python")
    return _with_python(bundle, say)


def listed() -> list[tuple[str, str, int, int]]:
    """Our own images: reference, digest, packed and unpacked bytes."""
    found = []
    for named in oci.manifests(layout()):
        reference = named["annotations"]["org.opencontainers.image.ref.name"]
        manifest, _ = oci.read(layout(), reference)
        packed = sum(layer["size"] for layer in manifest["layers"])
        unpacked = sum(int(layer["annotations"][oci.UNPACKED]) for layer in manifest["layers"])
        found.append((reference, named["digest"], packed, unpacked))
    return sorted(found)


def _with_python(bundle: Bundle, say: Say) -> Made:
    system.expect_linux()
    began = time.perf_counter()
    python, packages = system.python_layer(), system.packages_layer(list(bundle.packages))
    layers = [system.system_layer([python, packages]), python, packages, _app_layer(bundle)]
    settings = oci.Settings(
        entrypoint=[system.INTERPRETER, "/app/run.py"],
        environment=ENVIRONMENT,
        port=3000,
        labels={"servelab.bundle": f"{bundle.name}-{bundle.version}"},
    )
    image = oci.write(layout(), bundle.reference, layers, settings, platform.machine(), say)
    return Made(bundle.reference, PYTHON, time.perf_counter() - began, image.unpacked, image.packed)


def _app_layer(bundle: Bundle) -> oci.Layer:
    """The bundle itself; it stands last, since it changes most often."""
    files = [*bundle.files, "bundle.json"]
    return oci.Layer("app", tuple(oci.Entry(f"app/{name}", bundle.path / name) for name in files))


def _with_engine(bundle: Bundle, engine: str, say: Say) -> Made:
    if not shutil.which(engine):
        raise UserError(f"{engine} is not installed.", f"install it, or build --with {PYTHON}.")
    began = time.perf_counter()
    command = [engine, "build", "--tag", bundle.reference]
    if configuration := os.environ.get("PIP_CONFIG_FILE"):
        command += ["--secret", f"id=pipconf,src={configuration}"]
    if engine == "buildah" or (engine == "podman" and hasattr(os, "geteuid") and os.geteuid() == 0):
        command += ["--isolation", "chroot", "--network", "host"]
    say(f"{' '.join(command)} {bundle.path}")
    ran = subprocess.run([*command, str(bundle.path)], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        last = (ran.stderr or ran.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise UserError(f"{engine} did not build it: {last[0][:300]}", f"or build --with {PYTHON}.")
    seconds = time.perf_counter() - began
    inspect = [engine, "inspect", "--type", "image", bundle.reference]
    if engine == "docker":
        inspect = [engine, "image", "inspect", bundle.reference]
    told = json.loads(_quietly(inspect).stdout or "[]")
    size = told[0].get("Size", 0) if isinstance(told, list) and told else 0
    return Made(bundle.reference, engine, seconds, int(size), None)


def _quietly(command: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return subprocess.CompletedProcess(command, 1, "", "")
