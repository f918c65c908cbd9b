"""What all tests share: a lab of their own, a loop for coroutines, and a summary of the notebooks' minutes."""

import asyncio
import inspect
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from helpers.classroom.readiness import QUIET_TENSORFLOW

TEMPORARY_HOME = "SERVELAB_TEST_HOME"

os.environ.update(QUIET_TENSORFLOW)


def pytest_configure(config: pytest.Config) -> None:
    """Point SERVELAB_HOME at a folder for this run, so that no learner's progress is touched.

    Parallel workers inherit it: a model that one trains, the others use.
    """
    if not hasattr(config, "workerinput"):
        os.environ[TEMPORARY_HOME] = os.environ["SERVELAB_HOME"] = tempfile.mkdtemp(prefix="servelab-test-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(TEMPORARY_HOME), ignore_errors=True)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty SERVELAB_HOME for one test."""
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path / "lab"))
    return tmp_path / "lab"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    """Tests that are coroutines run on an event loop of their own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**wanted), timeout=120))
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The measured minutes of each notebook beside the stated ones."""
    rows = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            properties = dict(getattr(report, "user_properties", []))
            if "notebook" in properties and getattr(report, "when", "") == "call":
                rows.append((properties["notebook"], properties["ran_seconds"], properties["stated_minutes"]))
    if rows:
        terminalreporter.section("minutes of the notebooks")
        terminalreporter.write_line(f"{'notebook':<36} {'runs in':>10} {'stated':>8}")
        for name, seconds, stated in sorted(rows):
            terminalreporter.write_line(f"{name:<36} {seconds / 60:>6.2f} min {stated!s:>4} min")
