"""Images of bundles: built by Docker, podman or buildah where one works, and by plain Python anywhere on Linux."""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from helpers.deploy import engines, oci, pip_settings, system
from helpers.deploy.layers import Entry, Layer
from helpers.deploy.packing import Bundle
from helpers.errors import UserError
from helpers.places import lab_home

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


def build(bundle: Bundle, builder: str | None = None, say: Say = print, base: str | None = None) -> Made:
    """Build the bundle's image with the builder that is named, or else with the first that can."""
    if changed := bundle.changed():
        raise UserError(f"{bundle.path.name} was changed after it was packed: {changed[0]}.", "bundle it again.")
    if builder == PYTHON:
        if base:
            raise UserError("An image in plain Python has no base image.", "leave out --base, or name an engine.", 2)
        return _with_python(bundle, say)
    if builder is not None:
        return _with_engine(bundle, builder, base, say)
    there_are = engines.working_engines()
    if base and not there_are:
        raise UserError(f"Nothing here builds on {base}.", "install podman or Docker, or leave out --base.")
    for engine in there_are:
        try:
            return _with_engine(bundle, engine, base, say)
        except UserError as error:
            if base and engine == there_are[-1]:
                raise
            say(f"{error.sentence} {error.remedy}")
    if there_are:
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


def table() -> list[list[str]]:
    """The images of every builder that works here, as lines of a table."""
    own = [
        [name, PYTHON, digest[7:19], f"{packed / 1e6:.0f} MB", f"{unpacked / 1e6:.0f} MB"]
        for name, digest, packed, unpacked in listed()
    ]
    held = engines.all_held()
    return own + [[image.reference, image.engine, image.number, "", f"{image.size / 1e6:.0f} MB"] for image in held]


def remove(reference: str) -> list[str]:
    """Take an image away from all that hold it; what each of them gave back."""
    done = []
    if any(name == reference for name, *_ in listed()):
        done.append(f"{PYTHON}: {oci.remove(layout(), reference) / 1e6:.0f} MB freed")
    for image in engines.all_held():
        if image.reference == reference:
            engines.remove(image)
            done.append(f"{image.engine}: removed")
    if not done:
        raise UserError(f"There is no image {reference!r}.", "see: python3 -m helpers image list", 2)
    return done


def _with_python(bundle: Bundle, say: Say) -> Made:
    system.expect_linux()
    began = time.perf_counter()
    python, packages = system.python_layer(), system.packages_layer(list(bundle.packages))
    layers = [system.system_layer([python, packages]), python, packages, _app_layer(bundle)]
    settings = oci.Settings(
        entrypoint=[system.INTERPRETER, "/app/run.py"],
        environment=ENVIRONMENT,
        port=3000,
        labels={engines.LABEL: f"{bundle.name}-{bundle.version}"},
    )
    image = oci.write(layout(), bundle.reference, layers, settings, platform.machine(), say)
    return Made(bundle.reference, PYTHON, time.perf_counter() - began, image.unpacked, image.packed)


def _app_layer(bundle: Bundle) -> Layer:
    """The bundle itself; it stands last, since it changes most often."""
    files = [*bundle.files, "bundle.json"]
    entries = [Entry(f"app/{name}", bundle.path / name) for name in files]
    return Layer("app", tuple(system.with_bytecode(entries)))


def _with_engine(bundle: Bundle, engine: str, base: str | None, say: Say) -> Made:
    if not shutil.which(engine):
        raise UserError(f"{engine} is not installed.", f"install it, or build --with {PYTHON}.")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="servelab-secrets-") as place:
        secrets, left_out = pip_settings.secrets(Path(place))
        if left_out:
            say(f"pip looks into {', '.join(left_out)} here, which the build does not see: it does without")
        command = _build_command(bundle, engine, base, secrets)
        say(" ".join(command))
        about = {"engine": engine, "base": base or "python:…-slim"}
        engines.follow(command, say, about)
    seconds = time.perf_counter() - began
    sizes = [image.size for image in engines.held(engine) if image.reference == bundle.reference]
    return Made(bundle.reference, engine, seconds, sizes[0] if sizes else 0, None)


def _build_command(bundle: Bundle, engine: str, base: str | None, secrets: Mapping[str, Path]) -> list[str]:
    command = [*engines.program(engine), "build", "--tag", bundle.reference]
    command += ["--label", f"{engines.LABEL}={bundle.name}-{bundle.version}"]
    command += ["--build-arg", f"BASE={base}"] if base else []
    for name, path in secrets.items():
        command += ["--secret", f"id={name},src={path}"]
    if engine == "docker":
        command += ["--progress", "plain"]
    else:  # Docker's format, since that of OCI knows no health check
        command += ["--format", "docker", "--layers", "--force-rm"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command += ["--isolation", "chroot", "--network", "host"]
    return [*command, str(bundle.path)]
