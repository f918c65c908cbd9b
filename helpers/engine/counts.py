"""Numbers that several processes count, and any of them can add up.

Each worker has a page of its own: names, and beside each name its number. It writes into
memory only, and at the speed of memory; since the page is a file that the others can read,
nothing has to be sent or asked, and what a worker counted stays when it dies.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

PAGE = 1 << 20
NAME = 632  # bytes of a name; with the number behind it an entry has 640
ENTRY = NAME + 8
LAST = (PAGE // ENTRY - 1) * ENTRY


class Page:
    """One worker's numbers. Without a file they are its own affair."""

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            self._memory = mmap.mmap(-1, PAGE)
        else:
            with path.open("x+b") as file:
                file.truncate(PAGE)
                self._memory = mmap.mmap(file.fileno(), PAGE)
        self._numbers = memoryview(self._memory).cast("d")
        self._places: dict[str, int] = {}

    def add(self, name: str, amount: float = 1.0) -> None:
        place = self._places.get(name)
        self._numbers[self._place(name) if place is None else place] += amount

    def set(self, name: str, amount: float) -> None:
        self._numbers[self._place(name)] = amount

    def entries(self) -> Iterator[tuple[str, float]]:
        return entries(self._memory)

    def _place(self, name: str) -> int:
        """Where the name's number is, counted in numbers. On a full page it has a place that nobody reads."""
        if name not in self._places:
            start, raw = min(len(self._places) * ENTRY, LAST), name.encode()[:NAME]
            if start < LAST:
                self._memory[start + 1 : start + len(raw)] = raw[1:]
                self._memory[start] = raw[0]  # now that all of it is there, others may read it
            self._places[name] = (start + NAME) // 8
        return self._places[name]


def entries(page: "bytes | mmap.mmap") -> Iterator[tuple[str, float]]:
    """The names and numbers of a page."""
    for start in range(0, len(page) - NAME, ENTRY):
        if not page[start]:
            return
        name = page[start : start + NAME].rstrip(b"\0").decode(errors="replace")
        yield name, struct.unpack_from("d", page, start + NAME)[0]
