"""A bar on stderr: how many rows are scored, and how fast."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 30


class Bar:
    """In a terminal one line is rewritten; elsewhere a new one is written now and then."""

    def __init__(
        self,
        total: int,
        start: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.start = total, start
        self.stream = stream or sys.stderr
        self.clock = clock
        self.in_place = self.stream.isatty()
        self.began = self._last = clock()

    def show(self, rows: int) -> None:
        """``rows`` are scored by now."""
        now = self.clock()
        if now - self._last >= (0.1 if self.in_place else 5.0):
            self._last = now
            self._write(self.line(rows, self.total, now))

    def end(self, rows: int) -> None:
        """All of them are."""
        self._write(self.line(rows, rows, self.clock()))
        if self.in_place:
            print(file=self.stream, flush=True)

    def line(self, rows: int, total: int, now: float) -> str:
        share = min(rows / total, 1.0) if total else 1.0
        done = round(share * WIDTH)
        speed = (rows - self.start) / max(now - self.began, 1e-9)
        return f"[{'#' * done}{'.' * (WIDTH - done)}] {share:4.0%}  {rows:,} rows  {speed:,.0f} rows/s"

    def _write(self, line: str) -> None:
        self.stream.write(f"\r{line:<78}" if self.in_place else f"{line}\n")
        self.stream.flush()
