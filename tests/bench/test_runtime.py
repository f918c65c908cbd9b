"""``bench runtime``: everyone answers rightly, who is absent says why, and the report holds what was measured."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from helpers.bench import contestants, runtime
from helpers.bench.contestants import LIMIT, OURS, all_contestants
from helpers.bench.drawing import draw
from helpers.bench.timing import Timing
from helpers.cli import main

COMPILED = "torch, compiled"


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> contestants.Subject:
    return runtime.make_subject("digits", tmp_path_factory.mktemp("bench"), threads=1)


def test_every_contestant_answers_as_onnx_runtime_does(subject: contestants.Subject) -> None:
    found = all_contestants(subject, frozenset({COMPILED}))
    assert list(found.ready)[:2] == [LIMIT, OURS]
    assert {
        "Session, none",
        "Session, basic",
        "Session, extended",
        "int8, dynamic",
        "int8, static",
        "torch, eager",
    } < set(found.ready)
    rows = subject.rows(5)
    oracle = onnxruntime.InferenceSession(str(subject.path))
    (wanted,) = oracle.run(None, {oracle.get_inputs()[0].name: rows})
    for name, ready in found.ready.items():
        answer = np.asarray(ready(rows)())
        close = 0.5 if "int8" in name or "default" in name else 1e-4  # scores are around ten
        assert answer.shape == wanted.shape and np.abs(answer - wanted).max() < close, name
        assert np.array_equal(answer.argmax(1), wanted.argmax(1)), name


def test_who_is_absent_says_why(subject: contestants.Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)

    def no_compiler(subject: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nand a page more")

    monkeypatch.setattr(contestants, "_compiled", no_compiler)
    found = all_contestants(subject)
    assert found.absent[COMPILED] == "InvalidCxxCompiler: No working C++ compiler found"
    assert "pip install openvino" in found.absent["OpenVINO, float32"]
    assert LIMIT in found.ready and COMPILED not in found.ready


def test_a_batch_may_be_larger_than_the_example(subject: contestants.Subject) -> None:
    assert subject.rows(130).shape == (130, 1, 8, 8)
    assert np.array_equal(subject.rows(130)[64:128], subject.example)


def test_the_ratio_is_against_the_bare_loop_of_the_same_rounds() -> None:
    said: list[str] = []
    results = runtime.measure(["digits"], [1, 3], seconds=0.05, without=frozenset({COMPILED}), say=said.append)
    assert {result.batch for result in results} == {1, 3}
    for result in results:
        assert len(result.timing.seconds) >= 5
        if result.contestant == LIMIT:
            assert result.ratio == 1
    assert said[0].startswith("digits:") and "  batch of 3" in said


def result(contestant: str, batch: int, median: float) -> runtime.Result:
    return runtime.Result("digits", contestant, batch, Timing(np.full(9, median)), median / 1e-3, 1e-6)


def test_the_report_and_the_picture(tmp_path: Path) -> None:
    results = [result(LIMIT, 1, 1e-3), result(OURS, 1, 1.1e-3), result(LIMIT, 8, 2e-3)]
    text = runtime.tables(results)
    assert "batch of 1" in text and "batch of 8" in text
    assert "1.1 ms ±0% [1.10]" in text and "off by" in text
    assert draw(results, tmp_path / "new" / "x.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_keeps_all_figures(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "runtime", "--models", "digits", "--batches", "2", "--seconds", "0.05", "--without", COMPILED]
    assert main(arguments) == 0
    kept = json.loads((home / "bench" / "runtime.json").read_text("utf-8"))
    assert {entry["contestant"] for entry in kept} >= {LIMIT, OURS}
    assert all(entry["batch"] == 2 and entry["median_s"] > 0 for entry in kept)
    assert (home / "bench" / "runtime.png").exists()
    assert "bare session loop" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "arguments are required: WHAT"),
        (["moon"], "invalid choice: 'moon'"),
        (["runtime", "--batches", "0"], "'0' is not a whole number of 1 or more"),
        (["runtime", "--models", "gpt"], "invalid choice: 'gpt'"),
        (["runtime", "--seconds", "-1"], "-1 seconds cannot be measured in"),
    ],
)
def test_mistakes_are_told(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err
