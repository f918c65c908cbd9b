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
NAME = 248  # bytes of a name; with the number behind it an entry has 256


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
        if name not in self._places:
            number, raw = len(self._places), name.encode()
            if (number + 1) * (NAME + 8) > PAGE:
                return number * (NAME // 8 + 1) - 1  # the page is full: the last entry takes what has no place
            raw = raw[:NAME]
            self._memory[number * (NAME + 8) : number * (NAME + 8) + len(raw)] = raw
            self._places[name] = number * (NAME // 8 + 1) + NAME // 8
        return self._places[name]


def entries(page: "bytes | mmap.mmap") -> Iterator[tuple[str, float]]:
    """The names and numbers of a page."""
    for start in range(0, len(page), NAME + 8):
        name = page[start : start + NAME].rstrip(b"\0")
        if not name:
            return
        yield name.decode(errors="replace"), struct.unpack_from("d", page, start + NAME)[0]
