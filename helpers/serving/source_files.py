"""The source files of the services that are served, and whether they have changed."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from helpers.engine.own_modules import own_modules, package_folder

State = tuple[int, int]  # a file's time of change, and its size


def source_folders(folder: Path) -> list[str]:
    """Where the modules lie that this process has loaded from ``folder``; of packages all folders."""
    found = set()
    for name, file in own_modules(folder).items():
        found.add(str(file.parent))
        package = package_folder(name, file)
        if package is not None:
            for place, folders, _ in os.walk(package):
                folders[:] = [each for each in folders if not each.startswith((".", "__pycache__"))]
                found.add(place)
    return sorted(found)


class SourceFiles:
    """Python files of some folders. What is newer than this object counts as changed from the first look on."""

    def __init__(self) -> None:
        self.changed: list[str] = []  # as of the last look
        self._since = time.time_ns()
        self._accepted: dict[str, dict[str, State]] = {}
        self._seen: dict[str, dict[str, State]] = {}

    def look(self, folders: Iterable[str]) -> bool:
        """True if a file was changed, added or removed since ``accept``, or since the start."""
        self._seen = {folder: _state(folder) for folder in folders}
        changed = set()
        for folder, files in self._seen.items():
            before = self._accepted.get(folder)
            if before is None:  # never looked at: its files were loaded after the start, unless they are newer
                changed |= {path for path, (when, _) in files.items() if when > self._since}
                self._accepted[folder] = {path: state for path, state in files.items() if path not in changed}
            else:
                changed |= {path for path in files.keys() | before.keys() if files.get(path) != before.get(path)}
        if changed:
            self.changed = sorted(changed)
        return bool(changed)

    def accept(self) -> None:
        """What was seen last is what is loaded next."""
        self._accepted |= self._seen
        self._since = time.time_ns()


def _state(folder: str) -> dict[str, State]:
    found = {}
    try:
        for entry in os.scandir(folder):
            if entry.name.endswith(".py") and entry.is_file():
                about = entry.stat()
                found[entry.path] = (about.st_mtime_ns, about.st_size)
    except OSError:
        pass  # it was removed, or a file in it just now: the next look shows what is there
    return found
