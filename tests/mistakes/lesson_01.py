"""What goes wrong in lesson 01."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch


def export(model: torch.nn.Module, path: Path, **options: Any) -> None:
    chosen = {
        "input_names": ["images"],
        "output_names": ["scores"],
        "dynamic_shapes": ({0: "batch"},),
        "verbose": False,
    }
    torch.onnx.export(model, (torch.zeros(2, 1, 8, 8),), path, **(chosen | options))


# dynamic_batch


def forgets_the_dynamic_axis(model: torch.nn.Module, path: Path) -> None:
    export(model.eval(), path, dynamic_shapes=None)


def forgets_evaluation_mode(model: torch.nn.Module, path: Path) -> None:
    export(model, path)


def makes_every_axis_dynamic(model: torch.nn.Module, path: Path) -> None:
    axes = {0: "batch", 2: "height", 3: "width"}
    export(model.eval(), path, dynamo=False, dynamic_shapes=None, dynamic_axes={"images": axes})


def leaves_the_names_to_chance(model: torch.nn.Module, path: Path) -> None:
    export(model.eval(), path, input_names=None, output_names=None)


def forgets_to_name_the_output(model: torch.nn.Module, path: Path) -> None:
    export(model.eval(), path, output_names=None)


def writes_to_another_path(model: torch.nn.Module, path: Path) -> None:
    export(model.eval(), path.with_name("model.onnx"))


def saves_the_torch_model(model: torch.nn.Module, path: Path) -> None:
    torch.save(model.state_dict(), path)


def takes_no_path(model: torch.nn.Module) -> None:
    raise AssertionError("never called")


# largest_difference


def both(model: torch.nn.Module, path: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        return model(torch.from_numpy(images)).numpy(), session.run(None, {"images": images})[0]


def forgets_the_sign(model: torch.nn.Module, path: Path, images: np.ndarray) -> float:
    ours, theirs = both(model, path, images)
    return float((ours - theirs).max())


def takes_the_mean(model: torch.nn.Module, path: Path, images: np.ndarray) -> float:
    ours, theirs = both(model, path, images)
    return float(np.abs(ours - theirs).mean())


def looks_at_the_first_image_only(model: torch.nn.Module, path: Path, images: np.ndarray) -> float:
    ours, theirs = both(model, path, images)
    return float(np.abs(ours[0] - theirs[0]).max())


def compares_labels(model: torch.nn.Module, path: Path, images: np.ndarray) -> float:
    ours, theirs = both(model, path, images)
    return float((ours.argmax(1) != theirs.argmax(1)).mean())


def adds_the_differences_up(model: torch.nn.Module, path: Path, images: np.ndarray) -> float:
    ours, theirs = both(model, path, images)
    return float(np.abs(ours - theirs).sum())


def returns_all_of_them(model: torch.nn.Module, path: Path, images: np.ndarray) -> np.ndarray:
    ours, theirs = both(model, path, images)
    return np.abs(ours - theirs).max(1)


def hopes(model: torch.nn.Module, path: Path, images: np.ndarray) -> float:
    return 1e-6


# mend


class UsesTheMean(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images - images.mean((1, 2, 3), keepdim=True)


class TakesTheMiddleOfTheMiddleTwo(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images - images.flatten(1).quantile(0.5, dim=1)[:, None, None, None]


class TakesTheUpperOfTheMiddleTwo(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images - images.flatten(1).sort(1).values[:, 32][:, None, None, None]


class SortsTheWholeBatch(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        in_order = images.flatten().sort().values
        return images - in_order[(len(in_order) - 1) // 2]


class SubtractsNothing(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images


class StillUsesTheMedian(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images - torch.median(images.flatten(1), 1).values[:, None, None, None]


class LosesTheShape(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        flat = images.flatten(1)
        return flat - flat.sort(1).values[:, 31:32]


class SortsInNumpy(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        level = np.sort(images.numpy().reshape(len(images), -1))[:, 31]
        return images - torch.from_numpy(level)[:, None, None, None]


def a_function_instead_of_a_class(images: torch.Tensor) -> torch.Tensor:
    return images - images.flatten(1).sort(1).values[:, 31][:, None, None, None]


# service_outputs


class Service(torch.nn.Module):
    def __init__(self, model: torch.nn.Module, axis: int = 1) -> None:
        super().__init__()
        self.model, self.axis = model, axis

    def answer(self, images: torch.Tensor) -> Any:
        probabilities = self.model(images).softmax(self.axis)
        return probabilities, probabilities.argmax(1)

    def forward(self, images: torch.Tensor) -> Any:
        return self.answer(images)


OUTPUTS = ["probabilities", "label"]


def exports_the_bare_model(model: torch.nn.Module, path: Path) -> None:
    export(model, path)


def softmax_over_the_batch(model: torch.nn.Module, path: Path) -> None:
    export(Service(model, axis=0).eval(), path, output_names=OUTPUTS)


def swaps_the_outputs(model: torch.nn.Module, path: Path) -> None:
    class Swapped(Service):
        def answer(self, images: torch.Tensor) -> Any:
            return tuple(reversed(super().answer(images)))

    export(Swapped(model).eval(), path, output_names=OUTPUTS)


def forgets_the_softmax(model: torch.nn.Module, path: Path) -> None:
    class Scores(Service):
        def answer(self, images: torch.Tensor) -> Any:
            scores = self.model(images)
            return scores, scores.argmax(1)

    export(Scores(model).eval(), path, output_names=OUTPUTS)


def takes_the_logarithm(model: torch.nn.Module, path: Path) -> None:
    class Logarithms(Service):
        def answer(self, images: torch.Tensor) -> Any:
            scores = self.model(images).log_softmax(1)
            return scores, scores.argmax(1)

    export(Logarithms(model).eval(), path, output_names=OUTPUTS)


def softmax_twice(model: torch.nn.Module, path: Path) -> None:
    class Twice(Service):
        def answer(self, images: torch.Tensor) -> Any:
            probabilities = self.model(images).softmax(1).softmax(1)
            return probabilities, probabilities.argmax(1)

    export(Twice(model).eval(), path, output_names=OUTPUTS)


def label_is_a_column(model: torch.nn.Module, path: Path) -> None:
    class Column(Service):
        def answer(self, images: torch.Tensor) -> Any:
            probabilities = self.model(images).softmax(1)
            return probabilities, probabilities.argmax(1, keepdim=True)

    export(Column(model).eval(), path, output_names=OUTPUTS)


def one_batch_size_only(model: torch.nn.Module, path: Path) -> None:
    export(Service(model).eval(), path, output_names=OUTPUTS, dynamic_shapes=None)


# one_file


def copies_the_graph_alone(source: Path, target: Path) -> None:
    shutil.copy(source, target)


def copies_both(source: Path, target: Path) -> None:
    shutil.copy(source, target)
    shutil.copy(f"{source}.data", target.parent)


def moves_instead_of_copying(source: Path, target: Path) -> None:
    onnx.save(onnx.load(source), target)
    Path(f"{source}.data").unlink()


def writes_two_files_again(source: Path, target: Path) -> None:
    onnx.save(onnx.load(source), target, save_as_external_data=True, location="weights.bin", size_threshold=0)


def loads_without_the_weights(source: Path, target: Path) -> None:
    onnx.save(onnx.load(source, load_external_data=False), target)


def writes_nothing(source: Path, target: Path) -> None:
    onnx.load(source)


def loses_the_weights(source: Path, target: Path) -> None:
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            zeros = np.zeros_like(onnx.numpy_helper.to_array(tensor))
            tensor.CopyFrom(onnx.numpy_helper.from_array(zeros, tensor.name))
    onnx.save(model, target)


MISTAKES = {
    "dynamic_batch": {
        forgets_the_dynamic_axis: "a first axis with a name",
        forgets_evaluation_mode: "evaluation mode",
        makes_every_axis_dynamic: "only the first axis dynamic",
        leaves_the_names_to_chance: "inputs called",
        forgets_to_name_the_output: "outputs called",
        writes_to_another_path: "no file at the path",
        saves_the_torch_model: "cannot open",
        takes_no_path: "cannot be called",
    },
    "largest_difference": {
        forgets_the_sign: "whatever its sign",
        takes_the_mean: "over all images",
        looks_at_the_first_image_only: "over all images",
        compares_labels: "over all images",
        adds_the_differences_up: "over all images",
        returns_all_of_them: "the result is ndarray",
        hopes: "0.0000 for a file with one weight changed",
    },
    "find_operator": {
        "aten.sort.default": "not what the exporter complained about",
        "Conv": "not what the exporter complained about",
        "torch.export": "not what the exporter complained about",
        "": "not what the exporter complained about",
        torch.median: "the answer is",
    },
    "mend": {
        UsesTheMean: "away from the original",
        TakesTheMiddleOfTheMiddleTwo: "away from the original",
        TakesTheUpperOfTheMiddleTwo: "away from the original",
        SortsTheWholeBatch: "away from the original",
        SubtractsNothing: "away from the original",
        StillUsesTheMedian: "the exporter refuses it",
        LosesTheShape: "has shape",
        SortsInNumpy: "the exporter refuses it",
        a_function_instead_of_a_class: "not a class",
    },
    "service_outputs": {
        exports_the_bare_model: "outputs called ['scores']",
        softmax_over_the_batch: "add up to",
        swaps_the_outputs: "probabilities of shape",
        forgets_the_softmax: "add up to",
        takes_the_logarithm: "add up to",
        softmax_twice: "away from the model's",
        label_is_a_column: "labels of shape (4, 1)",
        one_batch_size_only: "images are refused",
    },
    "one_file": {
        copies_the_graph_alone: "does not open",
        copies_both: "does not open",
        moves_instead_of_copying: "changed or gone",
        writes_two_files_again: "does not open",
        loads_without_the_weights: "does not open",
        writes_nothing: "no file at the target",
        loses_the_weights: "away from the original",
    },
}
