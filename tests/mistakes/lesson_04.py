"""What goes wrong in lesson 04."""

import math
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional

from helpers import runtime

# predict


class Says(dict[str, Any]):
    """A prediction that can stand in the table below."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, name: str, **counts: Any) -> None:
        super().__init__(counts)
        self.__name__ = name


REST = {"Flatten": 1, "Gemm": 1}

# saved_bytes


def size(shape: tuple[int | str, ...], batch: int) -> int:
    return 4 * math.prod(batch if isinstance(axis, str) else axis for axis in shape)


def vanished(step: Any) -> list[Any]:
    still = {tensor.name for tensor in step.after.makes}
    return [tensor for node in step.before for tensor in node.makes if tensor.name not in still]


def readers(step: Any, tensor: Any) -> int:
    return sum(tensor.name in node.reads for node in step.before)


def counts_the_write_only(step: Any, batch: int) -> int:
    return sum(size(tensor.shape, batch) for tensor in vanished(step))


def counts_one_reader_always(step: Any, batch: int) -> int:
    return sum(2 * size(tensor.shape, batch) for tensor in vanished(step))


def counts_numbers_and_not_bytes(step: Any, batch: int) -> int:
    return sum(size(tensor.shape, batch) // 4 * (1 + readers(step, tensor)) for tensor in vanished(step))


def takes_a_batch_of_one(step: Any, batch: int) -> int:
    return sum(size(tensor.shape, 1) * (1 + readers(step, tensor)) for tensor in vanished(step))


def counts_what_is_still_made(step: Any, batch: int) -> int:
    made = [tensor for node in step.before for tensor in node.makes]
    return sum(size(tensor.shape, batch) * (1 + readers(step, tensor)) for tensor in made)


def takes_the_last_tensor_only(step: Any, batch: int) -> int:
    return sum(size(tensor.shape, batch) * (1 + readers(step, tensor)) for tensor in vanished(step)[-1:])


def forgets_to_return(step: Any, batch: int) -> None:
    counts_the_write_only(step, batch)


# blocked


def a_function_of_endings(name: str) -> bool:
    return name in {"brighter", "pooled", "watched"}


# mend


class Gauged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.score = nn.Linear(72, 10)

    def forward(self, x: torch.Tensor) -> Any:
        made = self.first(x)
        gauge = made.clamp(min=0).mean((1, 2, 3))
        pooled = functional.max_pool2d(made, 2).relu()
        return self.scores((self.second(pooled) + 0.5).relu()), gauge

    def scores(self, brighter: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.score(brighter.flatten(1))
        return made

    def lifted(self, pooled: torch.Tensor) -> torch.Tensor:
        bias = self.second.bias
        assert bias is not None
        return functional.conv2d(pooled, self.second.weight, bias + 0.5, padding=1).relu()


class ChangesNothing(Gauged):
    pass


class LeavesTheHalfOut(Gauged):
    def forward(self, x: torch.Tensor) -> Any:
        made = self.first(x).relu()
        return self.scores(self.second(functional.max_pool2d(made, 2)).relu()), made.mean((1, 2, 3))


class AddsTheHalfAfterTheActivation(Gauged):
    def forward(self, x: torch.Tensor) -> Any:
        made = self.first(x).relu()
        return self.scores(self.second(functional.max_pool2d(made, 2)).relu() + 0.5), made.mean((1, 2, 3))


class CutsTheMeanAtZero(Gauged):
    def forward(self, x: torch.Tensor) -> Any:
        made = self.first(x)
        gauge = made.mean((1, 2, 3)).relu()
        return self.scores(self.lifted(functional.max_pool2d(made.relu(), 2))), gauge


class TakesTheMeanOfThePooled(Gauged):
    def forward(self, x: torch.Tensor) -> Any:
        pooled = functional.max_pool2d(self.first(x).relu(), 2)
        return self.scores(self.lifted(pooled)), pooled.mean((1, 2, 3))


class DropsTheGauge(Gauged):
    def forward(self, x: torch.Tensor) -> Any:
        return self.scores(self.lifted(functional.max_pool2d(self.first(x).relu(), 2)))


class LeavesTheSumInBetween(Gauged):
    def forward(self, x: torch.Tensor) -> Any:
        made = self.first(x).relu()
        pooled = functional.max_pool2d(made, 2)
        return self.scores((self.second(pooled) + 0.5).relu()), made.mean((1, 2, 3))


class LeavesThePoolingInBetween(Gauged):
    def forward(self, x: torch.Tensor) -> Any:
        made = self.first(x)
        pooled = functional.max_pool2d(made, 2).relu()
        return self.scores(self.lifted(pooled)), made.relu().mean((1, 2, 3))


class KeepsASecondReader(Gauged):
    def forward(self, x: torch.Tensor) -> Any:
        made = self.first(x)
        gauge = made.clamp(min=0).mean((1, 2, 3))
        return self.scores(self.lifted(functional.max_pool2d(made.relu(), 2))), gauge


class HasLayersOfItsOwn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3)

    def forward(self, x: torch.Tensor) -> Any:
        return self.convolution(x).relu()


# ship


def ships_the_standard_to_all(source: Path, target: Path, reader: str) -> None:
    runtime.optimize(source, target, "basic")


def ships_extended_to_all(source: Path, target: Path, reader: str) -> None:
    runtime.optimize(source, target, "extended")


def ships_everything_to_all(source: Path, target: Path, reader: str) -> None:
    runtime.optimize(source, target, "all")


def confuses_the_readers(source: Path, target: Path, reader: str) -> None:
    runtime.optimize(source, target, "basic" if reader == "onnxruntime" else "extended")


def copies_the_source(source: Path, target: Path, reader: str) -> None:
    shutil.copy(source, target)


def overwrites_the_source(source: Path, target: Path, reader: str) -> None:
    runtime.optimize(source, target, {"onnxruntime": "extended", "standard": "basic"}[reader])
    shutil.copy(target, source)


def writes_beside_the_target(source: Path, target: Path, reader: str) -> None:
    runtime.optimize(source, target.with_suffix(".ort.onnx"), "basic")


def ships_all_to_onnxruntime(source: Path, target: Path, reader: str) -> None:
    runtime.optimize(source, target, "all" if reader == "onnxruntime" else "basic")


def loses_the_bias(source: Path, target: Path, reader: str) -> None:
    runtime.optimize(source, target, "basic")
    model = onnx.load(target)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 1:
            zeros = np.zeros(tuple(tensor.dims), np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(zeros, tensor.name))
    onnx.save(model, target)


@cache
def here_is_a_blocked_layout() -> bool:
    """Without one, ``all`` writes what ``extended`` does, and shipping it is no mistake."""
    from tempfile import TemporaryDirectory

    text = """<ir_version: 10, opset_import: ["": 20]> g (float[1, 16, 8, 8] x, float[16, 16, 3, 3] w)
        => (float[1, 16, 6, 6] y) { y = Conv (x, w) }"""
    model = onnx.parser.parse_model(text)
    weights = onnx.numpy_helper.from_array(np.ones((16, 16, 3, 3), np.float32), "w")
    del model.graph.input[1:]
    model.graph.initializer.append(weights)
    with TemporaryDirectory() as folder:
        onnx.save(model, Path(folder) / "x.onnx")
        written = runtime.optimize(Path(folder) / "x.onnx", Path(folder) / "all.onnx", "all")
        return any(node.domain == "com.microsoft.nchwc" for node in onnx.load(written).graph.node)


MISTAKES: dict[str, dict[Any, str]] = {
    "predict": {
        Says("everything_fuses", FusedConv=2, MaxPool=1, FusedGemm=1, **REST): "you predict 2 FusedConv",
        Says("nothing_fuses", Conv=2, MaxPool=1, Relu=3, Flatten=1, Gemm=2): "you predict 2 Conv, 3 Relu, 2 Gemm",
        Says("norms_stay", Conv=2, BatchNormalization=1, Relu=1, MaxPool=1, FusedGemm=1, **REST): (
            "you predict 2 Conv, 1 BatchNormalization"
        ),
        Says(
            "both_products", FusedConv=1, Conv=1, MaxPool=1, Relu=1, FusedGemm=2, Flatten=1
        ): "you predict 2 FusedGemm",
        Says("dropout_stays", FusedConv=1, Conv=1, MaxPool=1, Relu=1, Dropout=1, FusedGemm=1, **REST): "1 Dropout",
        Says("forgets_one", FusedConv=1, Conv=1, MaxPool=1, Relu=1, FusedGemm=1, Gemm=1): "but it is 6 steps",
        Says("tells_names", Conv="one"): "a dictionary from the name of an operator",
        Says("tells_nothing"): "a dictionary from the name of an operator",
        "FusedConv, Conv, MaxPool": "the prediction is str",
    },
    "saved_bytes": {
        counts_the_write_only: "written once and read by each",
        counts_one_reader_always: "written once and read by each",
        counts_numbers_and_not_bytes: "written once and read by each",
        takes_a_batch_of_one: "with a batch of",
        counts_what_is_still_made: "written once and read by each",
        takes_the_last_tensor_only: "written once and read by each",
        forgets_to_return: "the result is NoneType",
    },
    "blocked": {
        frozenset({"watched", "pooled"}): "0 of those that you name do fuse, and 1 more do not",
        frozenset({"watched", "pooled", "brighter", "read twice"}): "1 of those that you name do fuse, and 0 more",
        frozenset({"watched", "pooled", "doubled"}): "1 of those that you name do fuse, and 1 more",
        frozenset({"normalised", "dropout"}): "4 of 9 endings are as you say",
        frozenset({"Relu", "watched"}): "no ending here",
        frozenset(): "6 of 9 endings are as you say",
        "watched": "the answer is str",
        a_function_of_endings: "the answer is function",
    },
    "mend": {
        ChangesNothing: "0 of 2 convolutions",
        LeavesTheHalfOut: "the scores of the module is up to",
        AddsTheHalfAfterTheActivation: "the scores of the module is up to",
        CutsTheMeanAtZero: "the gauge of the module is up to",
        TakesTheMeanOfThePooled: "the gauge of the module is up to",
        DropsTheGauge: "a tuple of two tensors",
        LeavesTheSumInBetween: "1 of 2 convolutions",
        LeavesThePoolingInBetween: "1 of 2 convolutions",
        KeepsASecondReader: "1 of 2 convolutions",
        HasLayersOfItsOwn: "do not fit into it",
    },
    "ship": {
        ships_the_standard_to_all: "for the reader 'onnxruntime', 7 steps",
        ships_extended_to_all: "of the family com.microsoft",
        ships_everything_to_all: "of the family com.microsoft",
        confuses_the_readers: "of the family com.microsoft",
        copies_the_source: "for the reader 'standard', 8 steps",
        overwrites_the_source: "the source is changed",
        writes_beside_the_target: "no file at the path",
        loses_the_bias: "away from the original's",
    },
}
if here_is_a_blocked_layout():
    MISTAKES["ship"][ships_all_to_onnxruntime] = "none that are arranged for this processor"
