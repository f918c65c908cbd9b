"""Shows how far pip is.

pip says much while it downloads and nothing while it unpacks, which takes most of
the time. So its lines are counted first, and then the packages that appear.
"""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path


class PipProgress:
    """Follows pip's output and says one short line now and then.

    In a terminal the line is rewritten in place; elsewhere a new one is written
    only when something has changed for a while.
    """

    def __init__(
        self,
        site_packages: Path,
        say: Callable[[str], None],
        when_unpacking: Callable[[], None] = lambda: None,
        in_place: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        tick: float = 1.0,
    ) -> None:
        self.site_packages = site_packages
        self.say = say
        self.when_unpacking = when_unpacking
        self.in_place = sys.stdout.isatty() if in_place is None else in_place
        self.clock = clock
        self.tick = tick
        self.started = clock()
        self.collected = 0
        self.to_install = 0
        self.doing = "starting pip"
        self._last_said = ""
        self._last_time = float("-inf")

    def follow(self, lines: Iterable[str]) -> str:
        """Read to the end, showing progress meanwhile; return all that was read."""
        done = threading.Event()
        ticker = threading.Thread(target=self._tick_until, args=(done,), daemon=True)
        ticker.start()
        kept = []
        try:
            for line in lines:
                kept.append(line)
                self.read(line)
        finally:
            done.set()
            ticker.join()
            if self.in_place:
                print()
        return "".join(kept)

    def read(self, line: str) -> None:
        """Take one line of pip's output into account."""
        words = line.split()
        if not words:
            return
        if words[0] == "Collecting" and len(words) > 1:
            self.collected += 1
            self.doing = f"found {self.collected} packages, now {re.split('[<>=!~;[ ]', words[1])[0]}"
        elif words[0] == "Downloading" and "(" in line:
            size = line[line.rindex("(") + 1 : line.rindex(")")]
            name = words[1].rsplit("/", 1)[-1].split("-")[0]
            self.doing = f"found {self.collected} packages, downloading {name} ({size})"
        elif "Retrying (" in line:
            self.doing = "the package index does not answer: trying again"
        elif line.startswith("Installing collected packages:"):
            self.to_install = len(line.split(":", 1)[1].split(","))
            self.when_unpacking()

    def describe(self) -> str:
        """The line that is shown."""
        if self.to_install:
            unpacked = min(sum(1 for _ in self.site_packages.glob("*.dist-info")), self.to_install)
            return f"unpacked {unpacked} of {self.to_install} packages"
        return self.doing

    def _tick_until(self, done: threading.Event) -> None:
        while not done.wait(self.tick):
            self.show()

    def show(self) -> None:
        """Say where pip is, unless that was just said."""
        now = self.clock()
        text = self.describe()
        elapsed = f"{now - self.started:4.0f} s"
        if self.in_place:
            print(f"\r  {elapsed}  {text:<70.70}", end="", flush=True)
        elif text != self._last_said and now - self._last_time >= 5:
            self._last_said, self._last_time = text, now
            self.say(f"  {elapsed}  {text}")
