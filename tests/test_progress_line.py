"""The line that is shown while something takes long: when, where, and what it says."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from helpers import progress_line
from helpers.classroom.executor import execute
from helpers.places import ROOT
from helpers.progress_line import ProgressLine
from tests.classroom.notebooks import notebook, write


class Screen:
    """Where the line is shown in a test; ``wait`` returns when something was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, bool]] = []
        self._event = threading.Event()

    def __call__(self, text: str, last: bool) -> None:
        self.shown.append((text, last))
        self._event.set()

    def wait(self) -> None:
        assert self._event.wait(30)
        self._event.clear()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_line, "PATIENCE_SECONDS", 0.001)
    monkeypatch.setattr(progress_line, "EVERY_SECONDS", 0.001)


@pytest.mark.usefixtures("at_once")
def test_it_says_what_runs_and_at_the_end_how_long_it_took() -> None:
    screen = Screen()
    with ProgressLine("Training x", "Trained x in", screen):
        screen.wait()
        screen.wait()
    texts = [text for text, _ in screen.shown]
    assert all(re.fullmatch(r"Training x: \d+ s", text) for text in texts[:-1])
    assert re.fullmatch(r"Trained x in \d+\.\d s", texts[-1])
    assert [last for _, last in screen.shown] == [False] * (len(texts) - 1) + [True]


@pytest.mark.usefixtures("at_once")
def test_what_fails_is_not_called_done() -> None:
    screen = Screen()
    with pytest.raises(ZeroDivisionError), ProgressLine("Training x", "Trained x in", screen):
        screen.wait()
        1 / 0  # noqa: B018
    assert screen.shown[-1][0].startswith("Stopped after")


@pytest.mark.usefixtures("at_once")
def test_of_two_lines_only_the_inner_one_moves() -> None:
    outer, inner = Screen(), Screen()
    with ProgressLine("Outside", "Outside took", outer):
        outer.wait()
        with ProgressLine("Inside", "Inside took", inner):
            inner.wait()
            before = len(outer.shown)
            inner.wait()
            inner.wait()
            assert len(outer.shown) <= before + 1, "at most the one that was being written"
        outer.wait()


def test_what_is_quick_shows_nothing() -> None:
    screen = Screen()
    with ProgressLine("Quick", "Quick took", screen):
        pass
    assert screen.shown == []


def test_a_program_that_reads_our_output_sees_nothing() -> None:
    code = "from helpers import progress_line as p; p.PATIENCE_SECONDS = 0.01\n"
    code += "with p.ProgressLine('Training', 'Trained in'): import threading; threading.Event().wait(0.3)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert ran.stdout == ran.stderr == b""


READY = "from helpers import classroom; classroom.ready()"
SLOW = "import threading; print(threading.Event().wait(4))"  # work of four seconds
TRAINED = """import numpy as np
from helpers.zoo.kept import kept

def train():
    threading.Event().wait(4)
    return {"weights": np.zeros(1)}

_ = kept("x", {}, train, "the small model")"""


def test_in_a_notebook_each_slow_cell_has_its_line(tmp_path: Path) -> None:
    cells = [READY, READY, SLOW, "print('quick')", TRAINED, TRAINED]
    ran = execute(write(tmp_path, notebook(*cells)), variables={"SERVELAB_HOME": str(tmp_path / "lab")})
    assert ran.failure is None, str(ran.failure)
    shown = [
        ["".join(output.get("data", {}).get("text/plain", output.get("text", ""))) for output in cell.outputs]
        for cell in ran.notebook.cells
    ]
    line, printed = shown[2]
    assert re.fullmatch(r"Ran for \d+\.\d s", line) and printed == "False\n"
    assert shown[3] == ["quick\n"]
    assert any(re.fullmatch(r"Trained and kept the small model in \d+\.\d s", text) for text in shown[4])
    assert not any("Trained" in text for text in shown[5]), "it is trained once"
    assert not any(output.get("name") == "stderr" for cell in ran.notebook.cells for output in cell.outputs)
