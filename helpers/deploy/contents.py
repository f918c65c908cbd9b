"""The service's own part of a bundle, ``app/``: its modules, its packages' data, and the files that it names.

A file lies in ``app/`` where it lies in the service's folder, so that a path relative to a module stays right.
"""

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from helpers.errors import UserError

HUGE_BYTES = 100 << 20  # a file of a package that is larger is packed only if it was read at the start, or named
CACHES = {"__pycache__", "CVS", "_darcs", "node_modules"}
LEFTOVERS = (".pyc", ".pyo", ".swp", "~", ".egg-info")


@dataclass
class Contents:
    """Files by their names in ``app/``; ``data`` are those that are not modules."""

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    data: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # and why

    def add(self, path: Path) -> None:
        """Pack one file. A link is packed as the file that it leads to, which must lie in the folder."""
        try:
            name = path.relative_to(self.folder).as_posix()
            inside = path.resolve(strict=True).is_relative_to(self.folder)
            size = path.stat().st_size
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{path} cannot be packed: {reason}.", "mend or remove it.") from None
        if not inside:
            raise UserError(
                f"{name} is a link that leads outside of {self.folder}, to {path.resolve()}.",
                "put a copy in its place; a bundle holds only what lies in the service's folder.",
            )
        if path.suffix != ".py":
            self.data[name] = size
        self.left_out.pop(name, None)
        self.files[name] = path


def collect(
    folder: Path,
    modules: Sequence[str],
    packages: Sequence[str],
    read: Sequence[str],
    written: Sequence[str],
    avoid: Sequence[Path],
) -> Contents:
    """What is packed without being named: modules, whole packages, and files that were read at the start."""
    found = Contents(folder)
    for module in modules:
        found.add(folder / module)
    for package in packages:
        if package == ".":  # the folder itself, which may hold anything
            continue
        for path in _files(folder / package, avoid):
            name = path.relative_to(folder).as_posix()
            if name in written:
                found.left_out[name] = "written at the start"
            elif path.is_file() and not path.is_symlink() and path.stat().st_size > HUGE_BYTES:
                found.left_out[name] = size_of(path.stat().st_size)
            else:
                found.add(path)
    for name in read:
        parts = Path(name).parts
        outside = any((folder / name).is_relative_to(each) for each in avoid)
        if (
            outside
            or any(part in CACHES or part.endswith(LEFTOVERS) for part in parts)
            or _is_environment(folder, name)
        ):
            continue
        if any(part.startswith(".") for part in parts):
            found.left_out[name] = "hidden, and read at the start"
        else:
            found.add(folder / name)
    return found


def include(found: Contents, patterns: Sequence[str], base: Path, named_by: str, avoid: Sequence[Path]) -> None:
    """Add what is named: files, folders with all that is in them, or patterns; relative to ``base``."""
    for pattern in patterns:
        place = os.path.abspath(base / pattern)  # noqa: PTH100 (a link keeps its own name)
        if not Path(place).is_relative_to(found.folder):
            raise UserError(
                f"{named_by} names {pattern!r}, which lies outside of {found.folder}.",
                "bundle in a folder that holds both the service and its files.",
                2,
            )
        matches = [place] if os.path.lexists(place) else sorted(glob.glob(place, recursive=True))  # noqa: PTH207
        paths = [
            path
            for match in matches
            for path in ([Path(match)] if Path(match).is_file() else _files(Path(match), avoid))
        ]
        if not paths:
            raise UserError(
                f"{named_by} names {pattern!r}, and there is no such file.", f"it is looked for in {base}.", 2
            )
        for path in paths:
            found.add(path)


def include_declared(found: Contents, declared: Mapping[str, Sequence[str]], avoid: Sequence[Path]) -> None:
    """Add what ``@service(files=…)`` names, relative to the module that says so."""
    for module, patterns in declared.items():
        include(found, patterns, (found.folder / module).parent, f"@service(files=…) in {module}", avoid)


def _files(folder: Path, avoid: Sequence[Path], above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files below a folder but caches, hidden ones, environments and bundles; links are left as they are."""
    if not folder.is_dir():
        yield folder  # a broken link, or a device: packing it tells
        return
    if folder.resolve() in above:
        return  # a link to a folder that holds it
    for path in sorted(folder.iterdir()):
        skipped = path.name.startswith(".") or path.name in CACHES or path.name.endswith(LEFTOVERS)
        if skipped or any(path == each for each in avoid):
            continue
        if path.is_dir():
            if not (path / "pyvenv.cfg").exists() and not (path / "bundle.json").exists():
                yield from _files(path, avoid, (*above, folder.resolve()))
        elif path.is_file() or path.is_symlink():
            yield path


def _is_environment(folder: Path, name: str) -> bool:
    """True for a file of a Python environment that lies in the folder."""
    return any((folder / each / "pyvenv.cfg").exists() for each in Path(name).parents)


def size_of(count: int) -> str:
    """A number of bytes as people read it."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
