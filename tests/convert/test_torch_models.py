"""torch to ONNX: modules, compiled modules, several inputs and outputs, and refusals that say why."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from helpers import zoo
from helpers.convert import inputs_like, parity, read_graph, to_onnx
from helpers.errors import UserError

ROWS = np.random.default_rng(0).random((6, 4), dtype=np.float32)


def test_the_digit_classifier(tmp_path: Path) -> None:
    images = zoo.digits().train_images
    model = zoo.digits_cnn()
    path = to_onnx(model, images, tmp_path / "digits.onnx", outputs=["scores"])
    found = parity(model, path, inputs_like(images))
    assert found.rows == 4096 and found.largest <= 1e-4 and found.flipped == 0
    graph = read_graph(path)
    assert [str(value) for value in graph.inputs] == ["input: float32 (batch, 1, 8, 8)"]
    assert [str(value) for value in graph.outputs] == ["scores: float32 (batch, 10)"]
    assert [file.name for file in tmp_path.iterdir()] == ["digits.onnx"], "one file"


def test_a_script_module(tmp_path: Path) -> None:
    images = zoo.digits().train_images
    model = torch.jit.script(zoo.digits_cnn())
    path = to_onnx(model, images, tmp_path / "digits.onnx")
    found = parity(model, path, inputs_like(images))
    assert found.largest <= 1e-4 and found.flipped == 0
    assert str(read_graph(path).outputs[0]) == "output: float32 (batch, 10)"


class TwoInTwoOut(nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return left @ right.transpose(1, 2), left.sum((1, 2))


@pytest.mark.parametrize("rows", [1, 6])
def test_several_inputs_and_outputs(rows: int, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    example = tuple(random.random((rows, 3, 5), dtype=np.float32) for _ in range(2))
    path = to_onnx(TwoInTwoOut(), example, tmp_path / "two.onnx", inputs=["a", "b"], outputs=["product", "sum"])
    assert parity(TwoInTwoOut(), path, inputs_like(example, rows=100)).largest <= 1e-4
    graph = read_graph(path)
    assert [value.shape for value in graph.inputs] == [("batch", 3, 5)] * 2
    assert [str(value) for value in graph.outputs] == ["product: float32 (batch, 3, 3)", "sum: float32 (batch)"]


class NamedAnswers(nn.Module):
    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"double": rows * 2, "square": rows * rows}


def test_answers_by_name(tmp_path: Path) -> None:
    path = to_onnx(NamedAnswers(), ROWS, tmp_path / "named.onnx")
    assert len(read_graph(path).outputs) == 2
    assert parity(NamedAnswers(), path, [ROWS]).largest <= 1e-6


def test_a_model_in_training_is_exported_as_it_answers_and_left_in_training(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.BatchNorm1d(4).eval()).train()
    model[3].eval()
    path = to_onnx(model, ROWS, tmp_path / "x.onnx")
    assert [model.training, model[2].training, model[3].training] == [True, True, False]
    assert "Dropout" not in read_graph(path).operators()
    assert parity(model, path, [ROWS]).largest <= 1e-5
    assert model.training


def test_what_torch_compile_returns(tmp_path: Path) -> None:
    model = nn.Linear(4, 2).eval()
    compiled = torch.compile(model)  # compiles when it is first called, which nobody does here
    path = to_onnx(compiled, ROWS, tmp_path / "x.onnx")
    assert parity(compiled, path, [ROWS]).largest <= 1e-6
    assert parity(model, path, [ROWS]).largest <= 1e-6


class Distances(nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.cdist(rows, rows)


class Branches(nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if rows.sum() > 0:
            return rows
        return rows * 2


class Misshapen(nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows @ torch.ones(7, 7)


class Bessel(nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(rows)


@pytest.mark.parametrize(
    ("model", "said", "remedy"),
    [
        (Distances(), r"Distances uses the operator aten\._cdist_forward\.default.* no counterpart", "other operators"),
        (Branches(), r"Branches decides by its data .*\(line \d+ of forward: if rows.sum\(\) > 0:\)", "torch.where"),
        (
            Misshapen(),
            r"Misshapen itself does not answer .*\(2, 4\)\): RuntimeError: .*\(2x4 and 7x7\)",
            "an example of",
        ),
        (torch.jit.script(Bessel()), "operator aten::special_bessel_j0, which has no counterpart", "other operators"),
    ],
    ids=["operator", "branch", "shape", "script"],
)
def test_what_cannot_be_exported_says_why(
    model: nn.Module, said: str, remedy: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=said) as refused:
        to_onnx(model, ROWS, tmp_path / "x.onnx")
    assert remedy in refused.value.remedy
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == "", "one sentence, and not the exporter's pages as well"
