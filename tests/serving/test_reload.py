"""``serve --reload``: changes of a service's source are taken up while requests go on."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from helpers.cli import main
from helpers.places import ROOT
from helpers.serving.source_files import SourceFiles
from helpers.store import Store
from tests.store.models import multiply_by

SERVICE = """
import os
import time
from pathlib import Path
from helpers.engine import api, service
from parts.words import WORD


@service
class Shop:
    @api
    def word(self, until: str = "") -> str:
        if until:
            Path(until).with_suffix(".begun").touch()
        while until and not Path(until).exists():
            time.sleep(0.01)
        return WORD
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to end a program with")


@dataclass
class Reloading:
    process: "subprocess.Popen[str]"
    folder: Path
    address: str

    def write(self, text: str) -> None:
        beside = self.folder / "parts" / "words.new"
        beside.write_text(text)
        beside.replace(self.folder / "parts" / "words.py")

    def event(self) -> dict[str, Any]:
        """The next line of the log."""
        assert self.process.stderr
        found: dict[str, Any] = json.loads(self.process.stderr.readline())
        return found

    def word(self, **values: Any) -> str:
        answer = httpx.post(f"{self.address}/word", json=values, timeout=60)
        assert answer.status_code == 200, answer.text
        return str(answer.json())


@contextlib.contextmanager
def reloading(folder: Path, *arguments: str) -> Iterator[Reloading]:
    (folder / "parts").mkdir()
    (folder / "shop.py").write_text(SERVICE)
    (folder / "parts" / "words.py").write_text("WORD = 'one'\n")
    command = [sys.executable, "-m", "helpers", "serve", "shop:Shop", "--port", "0", "--reload", *arguments]
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=folder, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        found = re.search(r"at (http://\S+) ", line)
        assert found, (line, process.stderr.read())
        yield Reloading(process, folder, found[1])
        process.terminate()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and "what was accepted has been answered" in out, (out, err)
        assert err == "", "one event for each reload, and no other"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_change_is_taken_up_and_no_request_is_lost(tmp_path: Path, workers: str) -> None:
    with reloading(tmp_path, "--workers", workers) as server:
        assert server.word() == "one"
        answers, late, stop = list[str](), list[str](), threading.Event()

        def ask_on() -> None:
            while not stop.is_set():
                answers.append(server.word())

        # One request that the old worker is still busy with when the new one is there, and others all the time.
        waiting = threading.Thread(target=lambda: late.append(server.word(until=str(tmp_path / "go"))))
        others = threading.Thread(target=ask_on)
        waiting.start()
        others.start()
        try:
            while not (tmp_path / "go.begun").exists():
                waiting.join(0.01)
            server.write("WORD = 'two'\n")
            event = server.event()
            assert server.word() == "two", "as soon as the event is written, new connections find the new code"
        finally:
            (tmp_path / "go").touch()
            stop.set()
            waiting.join()
            others.join()
    assert (event["event"], event["level"], event["workers"]) == ("reloaded", "WARNING", int(workers))
    assert event["files"] == [str(tmp_path / "parts" / "words.py")]
    assert late == ["one"], "the request in flight was answered by the worker that had it"
    assert answers == sorted(answers, key=["one", "two"].index) and set(answers) <= {"one", "two"}


def test_code_that_does_not_run_leaves_the_old_workers_serving(tmp_path: Path) -> None:
    with reloading(tmp_path) as server:
        for broken, reason in (
            ("WORD =", "SyntaxError"),
            ("import nothing_here\n", "nothing_here"),
            ("1 / 0", "ZeroDiv"),
        ):
            server.write(broken)
            event = server.event()
            assert (event["event"], event["level"]) == ("reload failed", "ERROR")
            assert reason in event["reason"] and event["serving"] == "the code before"
            assert server.word() == "one"
        server.write("WORD = 'three'\n")
        assert server.event()["event"] == "reloaded"
        assert server.word() == "three"


def test_models_have_no_source_to_watch(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    Store().save("net", multiply_by(2))
    assert main(["serve", "net", "--reload", "--port", "0"]) == 2
    assert "--reload watches the source of services, and net has none" in capsys.readouterr().err


CHANGES = {
    "a file that is written": lambda folder: (folder / "a.py").write_text("more"),
    "a file of the same size and another time": lambda folder: os.utime(folder / "a.py", ns=(1, 1)),
    "a new file, however old": lambda folder: ((folder / "b.py").write_text(""), os.utime(folder / "b.py", ns=(1, 1))),
    "a file that is removed": lambda folder: (folder / "a.py").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_counts_as_a_change(tmp_path: Path, change: Any) -> None:
    (tmp_path / "a.py").write_text("")
    os.utime(tmp_path / "a.py", ns=(5, 5))
    files = SourceFiles()
    assert not files.look([str(tmp_path)])
    (tmp_path / "data.txt").write_text("no source")
    assert not files.look([str(tmp_path)])
    change(tmp_path)
    assert files.look([str(tmp_path)]) and files.look([str(tmp_path)]), "until it is accepted"
    assert [Path(each).suffix for each in files.changed] == [".py"]
    files.accept()
    assert not files.look([str(tmp_path)])


def test_a_file_that_changed_while_the_worker_started_is_newer(tmp_path: Path) -> None:
    files = SourceFiles()
    (tmp_path / "a.py").write_text("")
    newer = 10 * (tmp_path / "a.py").stat().st_mtime_ns
    os.utime(tmp_path / "a.py", ns=(newer // 9, newer // 9))
    assert files.look([str(tmp_path)])
