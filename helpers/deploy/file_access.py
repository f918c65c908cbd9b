"""Which files of a folder a program opens: seen by Python's audit events, which modules in C raise too."""

import os
import sys
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR


class FileAccess:
    """From its making until ``stop``: paths relative to ``folder``, with slashes, of files that exist there."""

    def __init__(self, folder: Path) -> None:
        self.read: set[str] = set()
        self.written: set[str] = set()
        self._prefix = f"{folder}{os.sep}"
        self._on = True
        sys.addaudithook(self._note)  # nothing takes a hook away again

    def stop(self) -> None:
        self._on = False
        self.read = {each for each in self.read if Path(self._prefix, each).is_file()}

    def _note(self, event: str, given: tuple[Any, ...]) -> None:
        if not self._on or event not in ("open", "sqlite3.connect"):
            return
        path, mode, flags = (*given, "r", 0)[:3] if event == "open" else (given[0], "r", 0)
        if not isinstance(path, str | bytes | os.PathLike):
            return  # a descriptor that is open already
        absolute = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 (a link keeps its own name)
        if absolute.startswith(self._prefix):
            writes = set(mode) & set("wax+") if isinstance(mode, str) else int(flags) & WRITES
            (self.written if writes else self.read).add(Path(absolute[len(self._prefix) :]).as_posix())
