"""The layers of an image that any Python service needs, taken from this machine: no base image is pulled.

The system layer holds the shared libraries that Python and its packages really ask for, and
nothing else: no shell, no package manager. The Python layer holds the interpreter and its
library; the packages layer the files of exactly the distributions that are named.
"""

import importlib.metadata
import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from helpers.deploy.layers import Entry, Layer
from helpers.errors import UserError

PYTHON = "/opt/python"  # where it lies in the image
PACKAGES = "/opt/packages"
LIBRARIES = f"{PYTHON}/lib"  # for shared libraries that do not lie where the system's do
SYSTEM = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")
INTERPRETER = f"{PYTHON}/bin/python3"
# Of the standard library: what serves no service.
LEFT_OUT = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "__pycache__", "pydoc_data"}
# Of packages: what only a compiler reads, and where there is none nobody does.
FOR_COMPILERS = {".a", ".cuh", ".h", ".hpp", ".pxd"}
ACCOUNTS = {
    "etc/passwd": b"root:x:0:0:root:/root:/sbin/nologin\nservice:x:10001:10001:service:/app:/sbin/nologin\n",
    "etc/group": b"root:x:0:\nservice:x:10001:\n",
    "etc/nsswitch.conf": b"hosts: files dns\n",
    "etc/hosts": b"127.0.0.1 localhost\n::1 localhost\n",
}


def expect_linux() -> None:
    """Shared libraries of another system do not run in a container."""
    if sys.platform != "linux":
        raise UserError(
            f"An image needs Linux's libraries, and this is {platform.system()}.",
            "build it with Docker or podman from the bundle's Dockerfile, or on Linux (WSL will do).",
        )


def python_layer() -> Layer:
    """The interpreter of this environment and its standard library."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    binary = Path(sys.base_prefix) / "bin" / version
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix, "base": sys.base_prefix}))
    entries = [
        Entry(f"{PYTHON}/bin/{version}".lstrip("/"), binary.resolve(), mode=0o755),
        Entry(INTERPRETER.lstrip("/"), target=version),
    ]
    for path in _files(library, {*LEFT_OUT, "site-packages", "dist-packages"}):
        inside = f"{PYTHON}/lib/{version}/{path.relative_to(library).as_posix()}"
        entries.append(Entry(inside.lstrip("/"), path.resolve(), mode=_mode(path)))
    return Layer("python", tuple(with_bytecode(entries)))


def packages_layer(names: Sequence[str]) -> Layer:
    """The files of these distributions, as they are installed here, but for their tests and headers."""
    entries = []
    for name in sorted(names):
        for file in importlib.metadata.distribution(name).files or []:
            source = Path(str(file.locate()))
            left_out = {"..", "__pycache__", "tests"} & set(file.parts) or file.suffix in FOR_COMPILERS
            if left_out or not source.is_file():
                continue
            entries.append(Entry(f"{PACKAGES}/{file.as_posix()}".lstrip("/"), source, mode=_mode(source)))
    return Layer("packages", tuple(with_bytecode(entries)))


def system_layer(others: Iterable[Layer]) -> Layer:
    """The shared libraries that the binaries in other layers ask for, and what names users and hosts."""
    inside = {entry.source for layer in others for entry in layer.entries if isinstance(entry.source, Path)}
    binaries = [path for path in inside if path.name.startswith("python3") or ".so" in path.name]
    libraries = _needed(binaries)
    own = {path.resolve() for path in inside}
    entries = [Entry(name, content) for name, content in ACCOUNTS.items()]
    entries.append(Entry("tmp", mode=0o1777))
    for path in sorted(libraries):
        if path.resolve() not in own:
            where = str(path) if str(path).startswith(SYSTEM) else f"{LIBRARIES}/{path.name}"
            entries.append(Entry(where.lstrip("/"), path.resolve(), mode=0o755))
    return Layer("system", tuple(entries))


def with_bytecode(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries, and what Python would make of each module when it is first imported: most of a cold start."""
    for entry in entries:
        yield entry
        path = PurePosixPath(entry.path)
        if path.suffix == ".py" and isinstance(entry.source, Path):
            compiled = path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"
            yield Entry(str(compiled), entry.source, compiled_as=f"/{path}")


def _needed(binaries: Sequence[Path]) -> set[Path]:
    """What the loader finds for them, transitively; ldd is a part of every Linux with glibc."""
    found: set[Path] = set()
    for start in range(0, len(binaries), 200):
        told = subprocess.run(
            ["ldd", *map(str, binaries[start : start + 200])], capture_output=True, text=True, check=False
        )
        for line in told.stdout.splitlines():
            text = line.strip().partition("=>")[2].strip() or line.strip()
            path = Path(text.partition(" (")[0].strip())
            if path.is_absolute() and path.is_file() and " (0x" in line:
                found.add(path)
    return found


def _files(folder: Path, without: set[str]) -> Iterable[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in without and not name.startswith("config-"))
        for name in sorted(files):
            if not name.endswith((".pyc", ".a")) and not name.startswith(("_tkinter", "_test", "_ctypes_test")):
                yield Path(place) / name


def _mode(path: Path) -> int:
    return 0o755 if os.access(path, os.X_OK) or ".so" in path.name else 0o644
