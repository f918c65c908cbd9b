"""Runs a notebook from top to bottom and says precisely what went wrong, if anything did.

Four ways to fail are told apart: a cell raised, a cell took too long, the notebook
as a whole took too long, and the kernel died (or never came up).
"""

import asyncio
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ERROR = "error in a cell"
CELL_TIMEOUT = "a cell took too long"
NOTEBOOK_TIMEOUT = "the notebook took too long"
DEAD_KERNEL = "the kernel died"

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Failure:
    """What went wrong, where, and in which line."""

    kind: str
    cell: int
    source: str
    line: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        """The failing cell with its line pointed at."""
        place = f", line {self.line}" if self.line else ""
        shown = [f"{self.kind}: cell {self.cell}{place}"]
        for number, text in enumerate(self.source.splitlines(), start=1):
            shown.append(f"  {'-->' if number == self.line else '   '} {text}")
        return "\n".join([*shown, self.detail]).rstrip()


@dataclass(frozen=True)
class Execution:
    """A notebook as it was after the run; ``failure`` is None if it ran through."""

    notebook: Any
    seconds: float
    failure: Failure | None


def execute(
    path: Path,
    cell_seconds: float = 60,
    notebook_seconds: float = 120,
    variables: Mapping[str, str] | None = None,
) -> Execution:
    """Run the notebook in a fresh kernel, in its own folder, and leave no process behind."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=cell_seconds,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        shutdown_kernel="immediate",
    )
    running: list[int] = [0]
    client.on_cell_execute = lambda cell, cell_index: running.append(cell_index)
    started = time.monotonic()
    failure: Failure | None = None
    try:
        asyncio.run(_run(client, notebook_seconds, {**_as_for_learners(os.environ), **(variables or {})}))
    except CellExecutionError as error:
        trace = ANSI.sub("", error.traceback)
        line = re.search(r"(?:Cell In\[\d+\]|<ipython-input[^>]*>), line (\d+)", trace)
        said = f"{error.ename}: {error.evalue}"
        failure = _failure(ERROR, notebook, running[-1], int(line[1]) if line else None, said)
    except CellTimeoutError:
        said = f"it had {cell_seconds:g} s"
        failure = _failure(CELL_TIMEOUT, notebook, running[-1], None, said)
    except TimeoutError:
        said = f"it had {notebook_seconds:g} s, and this cell was running when they ended"
        failure = _failure(NOTEBOOK_TIMEOUT, notebook, running[-1], None, said)
    except (DeadKernelError, RuntimeError) as error:
        failure = _failure(DEAD_KERNEL, notebook, running[-1], None, str(error))
    return Execution(notebook, time.monotonic() - started, failure)


def _as_for_learners(variables: Mapping[str, str]) -> dict[str, str]:
    """Without the sign by which a kernel that pytest starts leaves out what libraries and children print."""
    return {name: value for name, value in variables.items() if name != "PYTEST_CURRENT_TEST"}


async def _run(client: NotebookClient, seconds: float, variables: Mapping[str, str]) -> None:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await client.async_execute(env=dict(variables))
    except DeadKernelError:
        # nbclient takes any cancellation for a dead kernel, also the one by this limit.
        if limit.expired():
            raise TimeoutError from None
        raise


def _failure(kind: str, notebook: Any, cell: int, line: int | None, detail: str) -> Failure:
    return Failure(kind, cell, notebook.cells[cell].source if notebook.cells else "", line, detail)
