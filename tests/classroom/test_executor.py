"""Running notebooks: four ways to fail, told apart, with the cell and its line."""

import os
from pathlib import Path

import psutil
import pytest

from helpers.classroom import executor
from helpers.classroom.executor import execute
from tests.classroom.notebooks import notebook, write


def test_a_notebook_runs_through(tmp_path: Path) -> None:
    path = write(tmp_path, notebook("md:# Title", "import os\nx = 20", "print(x + 1, os.getcwd(), os.environ['MOON'])"))
    ran = execute(path, variables={"MOON": "full"})
    assert ran.failure is None
    assert ran.notebook.cells[2].outputs[0].text == f"21 {tmp_path} full\n"
    assert "21" not in path.read_text(), "the file itself is not touched"


def test_an_error_names_the_cell_and_the_line(tmp_path: Path) -> None:
    ran = execute(write(tmp_path, notebook("x = 1", "md:text", "y = 2\nz = y / 0\nprint(z)")))
    assert ran.failure is not None
    assert (ran.failure.kind, ran.failure.cell, ran.failure.line) == (executor.ERROR, 2, 2)
    assert "--> z = y / 0" in str(ran.failure)
    assert "ZeroDivisionError: division by zero" in str(ran.failure)


def test_an_error_deep_inside_names_the_line_of_the_cell_that_ran(tmp_path: Path) -> None:
    ran = execute(write(tmp_path, notebook("def f():\n    return {}['key']", "a = 1\nb = 2\nf()")))
    assert ran.failure is not None
    assert (ran.failure.cell, ran.failure.line) == (1, 3)


def test_a_syntax_error_has_its_line(tmp_path: Path) -> None:
    ran = execute(write(tmp_path, notebook("x = 1\nif x\n    y = 2")))
    assert ran.failure is not None
    assert (ran.failure.kind, ran.failure.line) == (executor.ERROR, 2)


FOREVER = "import threading\nthreading.Event().wait()"


def test_a_cell_that_takes_too_long(tmp_path: Path) -> None:
    ran = execute(write(tmp_path, notebook("x = 1", FOREVER)), cell_seconds=1)
    assert ran.failure is not None
    assert (ran.failure.kind, ran.failure.cell) == (executor.CELL_TIMEOUT, 1)
    assert "it had 1 s" in str(ran.failure)


def test_a_notebook_that_takes_too_long(tmp_path: Path) -> None:
    ran = execute(write(tmp_path, notebook("x = 1", FOREVER)), cell_seconds=600, notebook_seconds=4)
    assert ran.failure is not None
    assert (ran.failure.kind, ran.failure.cell) == (executor.NOTEBOOK_TIMEOUT, 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nbclient leaves the dead one's sockets
def test_a_kernel_that_dies(tmp_path: Path) -> None:
    ran = execute(write(tmp_path, notebook("x = 1", "import os\nos._exit(1)")))
    assert ran.failure is not None
    assert (ran.failure.kind, ran.failure.cell) == (executor.DEAD_KERNEL, 1)


@pytest.mark.parametrize("source", ["x = 1", "1 / 0", FOREVER])
def test_no_kernel_is_left_behind(source: str, tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process(os.getpid()).children(recursive=True)}
    execute(write(tmp_path, notebook(source)), cell_seconds=2)
    left = [c for c in psutil.Process(os.getpid()).children(recursive=True) if c.pid not in before]
    _, alive = psutil.wait_procs(left, timeout=5)
    assert not alive
