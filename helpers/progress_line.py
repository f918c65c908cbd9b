"""One line that says what is running and for how long, for a person who waits in a notebook or at a terminal.

It appears only when something takes longer than a moment, is updated each second, and never goes
to stderr. Programs that read our output see nothing of it.
"""

import contextvars
import itertools
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

PATIENCE_SECONDS = 2.0
EVERY_SECONDS = 1.0

_open: list["ProgressLine"] = []  # the innermost last: only that one is shown
_numbers = itertools.count()


class ProgressLine:
    """Shown while its block runs: ``doing: 5 s``, and at the end ``done 7.2 s``.

    >>> with ProgressLine("Training the model", "Trained the model in"):  # doctest: +SKIP
    ...     train()
    """

    def __init__(self, doing: str, done: str, show: Callable[[str, bool], None] | None = None) -> None:
        self.doing = doing
        self.done = done
        self._show = show or _place()
        self._shown = False
        self._ended = threading.Event()
        # The thread's own context: Jupyter finds in it the cell to which an output belongs.
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._tick,), daemon=True)

    def __enter__(self) -> "ProgressLine":
        self._began = time.monotonic()
        _open.append(self)
        if self._show:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._show:
            self._thread.join()
        _open.remove(self)
        if self._show and self._shown:
            ending = "Stopped after" if kind else self.done
            self._show(f"{ending} {time.monotonic() - self._began:.1f} s", True)

    def _tick(self) -> None:
        pause = PATIENCE_SECONDS
        while not self._ended.wait(pause):
            pause = EVERY_SECONDS
            if self._show and _open[-1] is self:
                self._shown = True
                self._show(f"{self.doing}: {time.monotonic() - self._began:.0f} s", False)


def show_slow_cells() -> None:
    """From now on, show a line for each cell of this notebook that takes longer than a moment."""
    shell = notebook_shell()
    if shell is None or getattr(shell, "servelab_slow_cells", None):
        return
    line: ProgressLine | None = None

    def begin(_: Any) -> None:
        nonlocal line
        line = ProgressLine("Running", "Ran for").__enter__()

    def end(_: Any) -> None:
        nonlocal line
        if line is not None:  # else this is the cell that called show_slow_cells
            line.__exit__(None, None, None)
        line = None

    shell.events.register("pre_run_cell", begin)
    shell.events.register("post_run_cell", end)
    shell.servelab_slow_cells = True


def notebook_shell() -> Any:
    """The IPython shell if this is a notebook's kernel, else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if getattr(shell, "kernel", None) else None


def _place() -> Callable[[str, bool], None] | None:
    """Where a line can be shown; None if the output is not a terminal or a notebook."""
    if notebook_shell():
        from IPython.display import display

        name = f"progress-line-{next(_numbers)}"
        shown: list[str] = []

        def show(text: str, last: bool) -> None:
            display({"text/plain": text}, raw=True, display_id=name, update=bool(shown))  # type: ignore[no-untyped-call]
            shown.append(text)

        return show
    if sys.stdout is not None and sys.stdout.isatty():
        return lambda text, last: print(f"\r{text}", end="\n" if last else "", flush=True)
    return None
