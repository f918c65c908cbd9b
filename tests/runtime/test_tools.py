"""Optimising, quantising and profiling: real models, and ONNX Runtime's own files as the oracle."""

import builtins
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from helpers import zoo
from helpers.convert import quietly, read_graph
from helpers.errors import UserError
from helpers.places import ROOT
from helpers.runtime import LEVELS, InputError, Options, Session, optimize, profile, quantize
from helpers.runtime.profiling import summarize
from tests.runtime import models
from tests.runtime.test_session import digits_file

__all__ = ["digits_file"]


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("resnet") / "resnet18.onnx"
    with quietly():
        torch.onnx.export(zoo.resnet18(), (torch.rand(1, 3, 64, 64),), path, input_names=["images"], dynamo=False)
    return path


def test_each_level_leaves_fewer_steps_and_the_same_answers(resnet: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    wanted = Session(resnet, options=Options(level="none"))(images)
    steps = {}
    for level in LEVELS:
        made = optimize(resnet, tmp_path / "made" / f"{level}.onnx", level)
        steps[level] = len(read_graph(made).nodes)
        assert np.allclose(Session(made, options=Options(level="none"))(images), wanted, atol=1e-3)
    assert steps["none"] == 65 >= steps["basic"] >= steps["extended"] >= steps["all"]
    assert steps["all"] <= 25
    assert not list((tmp_path / "made").glob("*.new"))


def test_optimising_refuses_nonsense(tmp_path: Path) -> None:
    path = models.relu(tmp_path / "relu.onnx")
    with pytest.raises(UserError, match="is the source itself"):
        optimize(path, path)
    with pytest.raises(UserError, match="no level 'most'"):
        optimize(path, tmp_path / "made.onnx", "most")
    with pytest.raises(UserError, match="There is no file"):
        optimize(tmp_path / "none.onnx", tmp_path / "made.onnx")
    assert not (tmp_path / "made.onnx").exists()


@pytest.mark.parametrize("how", ["dynamic", "static", "static, per channel"])
def test_a_quantised_classifier_is_small_and_nearly_as_good(how: str, digits_file: Path, tmp_path: Path) -> None:
    data = zoo.digits()
    calibration = None if how == "dynamic" else [data.train_images[:200]]
    small = quantize(digits_file, tmp_path / "small.onnx", calibration, per_channel="per channel" in how)
    whole = sum(read_graph(digits_file).files.values())
    assert small.stat().st_size <= 0.35 * whole
    named = Session(small)(data.test_images).argmax(1)
    before = Session(digits_file)(data.test_images).argmax(1)
    assert (named == data.test_labels).mean() >= (before == data.test_labels).mean() - 0.005
    onnx.checker.check_model(small)
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"], "nothing is left beside it"


def test_quantising_refuses_nonsense(digits_file: Path, tmp_path: Path) -> None:
    images, target = zoo.digits().test_images, tmp_path / "small.onnx"
    with pytest.raises(UserError, match="calibration set is empty"):
        quantize(digits_file, target, [])
    with pytest.raises(InputError, match="float64"):
        quantize(digits_file, target, [images.astype(np.float64)])
    with pytest.raises(InputError, match="is empty"):
        quantize(digits_file, target, [images[:0]])
    with pytest.raises(InputError, match="NaN"):
        quantize(digits_file, target, [np.full((1, 1, 8, 8), np.nan, np.float32)])
    with pytest.raises(UserError, match="2 inputs"):
        quantize(models.addition(tmp_path / "add.onnx"), target, [images])
    with pytest.raises(UserError, match="is the source itself"):
        quantize(digits_file, digits_file)
    with pytest.raises(UserError, match="There is no file"):
        quantize(tmp_path / "none.onnx", target)
    assert not target.exists()


def test_quantising_without_the_onnx_package_names_it(
    digits_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def lean(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "onnxruntime" and "quantization" in (arguments[2] or ()):
            raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", lean)
    with pytest.raises(UserError, match="needs the package onnx") as refused:
        quantize(digits_file, tmp_path / "small.onnx")
    assert refused.value.remedy == "pip install onnx"


def test_a_profile_names_every_step_that_ran(digits_file: Path, tmp_path: Path) -> None:
    images = zoo.digits().test_images[:8]
    for level in ("none", "all"):
        steps = profile(Session(digits_file, options=Options(threads=1, level=level)), images, runs=3)
        written = read_graph(optimize(digits_file, tmp_path / f"{level}.onnx", level))
        assert sorted(step.operator for step in steps) == sorted(written.operators().elements())
        assert sum(step.share for step in steps) == pytest.approx(1)
        assert [step.microseconds for step in steps] == sorted((s.microseconds for s in steps), reverse=True)
        assert {step.provider for step in steps} == {"cpu"}


def test_a_profile_is_a_median_without_the_first_run() -> None:
    def event(name: str, operator: str, duration: float, provider: str = "CPUExecutionProvider") -> dict[str, Any]:
        details = {"op_name": operator, "provider": provider}
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": duration, "args": details}

    events = [event("a", "Conv", 900), event("b", "Relu", 1)] + [event("a", "Conv", 3), event("b", "Relu", 1)] * 3
    events += [{"cat": "Session", "name": "model_run", "dur": 5}, {**event("a", "Conv", 9), "name": "a_fence_before"}]
    conv, relu = summarize(events)
    assert (conv.name, conv.operator, conv.provider, conv.microseconds, conv.share) == ("a", "Conv", "cpu", 3.0, 0.75)
    assert relu.microseconds == 1.0
    assert summarize([]) == []


def test_profiling_checks_its_inputs(digits_file: Path) -> None:
    with pytest.raises(InputError):
        profile(Session(digits_file), zoo.digits().test_images.astype(np.float64))


def test_onnx_runtime_reports_to_nobody_and_leaves_nothing_at_home(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    homes = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    program = "import helpers.runtime, onnxruntime; print(onnxruntime.get_available_providers())"
    subprocess.run([sys.executable, "-c", program], env=variables | homes, cwd=ROOT, check=True, capture_output=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name.lower() or "device" in path.name]
