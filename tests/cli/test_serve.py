"""``serve``: started, asked and stopped as a person or a supervisor does."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from helpers.cli import main
from helpers.places import ROOT
from helpers.store import Store
from tests.store.models import multiply_by


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    Store(tmp_path / "lab" / "store").save("net", multiply_by(2))
    return tmp_path / "lab"


def start(lab: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "helpers", "serve", *arguments, "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "SERVELAB_HOME": str(lab)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that asks a program to end")
@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGTERM, "1"), (signal.SIGINT, "1"), (signal.SIGTERM, "2"), (signal.SIGINT, "2")]
)
def test_it_serves_until_it_is_told_to_stop(lab: Path, number: signal.Signals, workers: str) -> None:
    process = start(lab, "net", "--workers", workers)
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.fullmatch(r"Serving net at (http://127\.0\.0\.1:\d+) \(Ctrl\+C stops\)\n", line)
        assert found, line
        question = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
        answer = httpx.post(f"{found[1]}/v2/models/net/infer", json=question, timeout=10)
        assert answer.json()["outputs"][0]["data"] == [2, 4, 6]
        assert f"servelab_workers {workers}\n" in httpx.get(f"{found[1]}/metrics").text
        process.send_signal(number)
        assert process.communicate(timeout=15) == ("Stopped: what was accepted has been answered.\n", "")
        assert process.returncode == 0
    finally:
        process.kill()


def test_what_a_worker_cannot_serve_is_told_as_one_sentence(lab: Path) -> None:
    process = start(lab, "net:9", "--workers", "2")
    try:
        stdout, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (stdout, process.returncode) == ("", 2)
    assert re.fullmatch(r"servelab: net has no version '9'[^\n]*\n  Remedy: [^\n]+\n", stderr), stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "arguments are required: TARGET"),
        (["net", "--port", "70000"], "'70000' is not a port"),
        (["net", "--workers", "0"], "Argument --workers: invalid choice: 0"),
        (["net:9", "--port", "0"], "net has no version '9'"),
        (["other", "--port", "0"], "There is no model called 'other'"),
        (["../net", "--port", "0"], "../net is a path, and serve takes a service or a model of the store"),
        (["NET", "--port", "0"], "'NET' is no name for a model"),
        (["net", "--port", "0", "--device", "gpu"], "no device 'gpu' for ONNX Runtime; it has: cpu"),
        (["net", "--port", "0", "--device", "openvino"], "no device 'openvino' for ONNX Runtime; it has: cpu"),
        (["net", "--port", "0", "--device", "cuda:0"], "no device 'cuda:0' for ONNX Runtime; it has: cpu"),
        (["net", "--port", "0", "--device", "azure"], "no device 'azure' for ONNX Runtime; it has: cpu"),
        (["net", "--port", "0", "--device", "cpu:1"], "There is no device 'cpu:1'"),
        (["net", "--port", "0", "--device", "cuda:x"], "There is no device 'cuda:x'"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], said: str, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVELAB_HOME", str(lab))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert main(["serve", *arguments]) == 2
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert said in capsys.readouterr().err
