"""Lesson 01, Export to ONNX: six tasks about one file.

Every check makes a small network of its own with fresh weights, so that what passes
here works for any model and not only for the course's.
"""

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.classroom.checking import Attempt, NotYet, task
from helpers.classroom.checks.model_files import (
    CLOSE,
    apart,
    expect_names,
    expect_same,
    first_line,
    folder_of_its_own,
    last_cause,
    open_answer,
    open_session,
    root_cause,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Images = NDArray[np.float32]


@task(
    "dynamic_batch",
    title="Export the classifier so that one file serves any number of images",
    hints=[
        "A traced axis is fixed unless you say otherwise. Which argument of torch.onnx.export says otherwise?",
        "dynamic_shapes has one entry for each argument of forward: a dictionary from axis to name. "
        "And look at what training mode does to dropout and batch normalisation.",
        "Put the model into evaluation mode, export it with dynamic_shapes=({0: 'batch'},), and name the "
        "tensors with input_names and output_names.",
    ],
    learned="An axis with a name takes any size, and every axis with a number is checked for you at the door.",
)
def dynamic_batch(attempt: Attempt) -> None:
    with folder_of_its_own() as folder:
        model, path = _network(attempt), folder / "digits.onnx"
        model.train()  # as it comes from training, with dropout switched on
        attempt.call(model, path)
        session = open_answer(attempt, path)
        expect_names(attempt, [i.name for i in session.get_inputs()], ["images"], "input")
        expect_names(attempt, [o.name for o in session.get_outputs()], ["scores"], "output")
        shape = session.get_inputs()[0].shape
        attempt.expect(
            isinstance(shape[0], str),
            f"the input's shape is {shape}",
            "a first axis with a name, not a number",
        )
        attempt.expect(
            shape[1:] == [1, 8, 8],
            f"the input's shape is {shape}",
            "only the first axis dynamic, the others fixed",
        )
        for rows in (1, 5, 32):
            images = _images(attempt, rows)
            (given,) = session.run(None, {"images": images})
            attempt.expect(
                apart(_answers(model, images), given) < CLOSE,
                f"for {rows} images the file's scores are {apart(_answers(model, images), given):.2g} away "
                "from those of the model in evaluation mode",
                f"scores that agree to {CLOSE}",
            )


@task(
    "largest_difference",
    title="Measure how far the file's answers are from the model's",
    hints=[
        "Run both on the same images. onnxruntime takes and returns numpy arrays; torch takes tensors.",
        "A difference can have either sign, and the largest one can be in any row and any column.",
        "np.abs(a - b).max(), as a float, with a from model(torch.from_numpy(images)) under torch.no_grad() "
        "and b from session.run(None, {...})[0].",
    ],
    learned="A tolerance means something only for the largest difference: a mean hides the one row that is wrong.",
)
def largest_difference(attempt: Attempt) -> None:
    with folder_of_its_own() as folder:
        for sign in (1, -1):
            model, path = _network(attempt), folder / f"wrong_by_{sign}.onnx"
            _export(model, path)
            _shift_one_weight(path, sign * float(attempt.rng.uniform(0.2, 0.4)))
            images = _images(attempt, 33)
            (answers,) = open_session(path).run(None, {"images": images})
            wanted = apart(_answers(model, images), answers)
            given = attempt.call(model, path, images)
            attempt.expect_type(given, (float, int, _numpy().floating), "the result")
            attempt.expect(
                abs(float(given) - wanted) < 1e-3,
                f"{float(given):.4f} for a file with one weight changed, where the largest difference is {wanted:.4f}",
                "the largest difference over all images and all scores, whatever its sign",
            )


@task(
    "find_operator",
    title="Name the operator that the exporter refuses",
    hints=[
        "The error has three parts. The last lines say what the exporter could not translate.",
        "Look for 'No ONNX function found for'. What follows in brackets is the operator.",
        "Write it as aten.NAME.OVERLOAD, with the op and the overload that the message gives.",
    ],
    learned="The exporter names the operator that it cannot translate: read an export error from its end.",
)
def find_operator(attempt: Attempt) -> None:
    attempt.expect_type(attempt.answer, str, "the answer")
    named = attempt.answer.strip()
    refused = _refused_operator()
    accepted = {refused, refused.rsplit(".", 1)[0], refused.removeprefix("aten.").rsplit(".", 1)[0]}
    attempt.expect(
        named in accepted,
        f"{named[:60]!r}, which is not what the exporter complained about",
        "the operator for which it found no ONNX function, such as aten.something.else",
    )


@task(
    "mend",
    title="Write the same computation with operators that can be exported",
    hints=[
        "ONNX has no median, but it can put numbers in order.",
        "torch's median of 64 numbers is one of them, and not the mean of the middle two. "
        "Which one is it, when they stand in order?",
        "Sort the flattened image along its last axis and take the value at (64 - 1) // 2. Mind the shape when "
        "you subtract it.",
    ],
    learned="What has no operator can often be said with those that exist; the answers decide whether it is the same.",
)
def mend(attempt: Attempt) -> None:
    import torch

    attempt.expect(
        isinstance(attempt.answer, type) and issubclass(attempt.answer, torch.nn.Module),
        "something that is not a class of torch modules",
        "the class that the exercise begins",
    )
    model = attempt.call()
    with folder_of_its_own() as folder, torch.no_grad():
        for rows in (1, 6):
            images = _images(attempt, rows)
            given = attempt.call_other(model, torch.from_numpy(images))
            attempt.expect_type(given, torch.Tensor, "the result of forward")
            expect_same(attempt, _levelled(images), given.numpy(), "the module's answer")
        path = folder / "mended.onnx"
        try:
            _export(model.eval(), path)
        except torch.onnx.OnnxExporterError as error:
            raise NotYet(
                f"the answers are right, but the exporter refuses it: {last_cause(error)}",
                "a module that torch.onnx.export can translate",
            ) from None
        images = _images(attempt, 9)
        (given,) = open_session(path).run(None, {"images": images})
        expect_same(attempt, _levelled(images), given, "the exported file's answer")


@task(
    "service_outputs",
    title="Put what the service answers with into the graph",
    hints=[
        "Only what forward returns is exported. So something must have a forward that returns both.",
        "Write a small module that holds the model, and whose forward returns a tuple.",
        "softmax over the classes, which are axis 1, gives probabilities; argmax over the same axis gives the label. "
        "Name them with output_names in the order of the tuple.",
    ],
    learned="What is in the graph is the same for every client; what is not must be written again in each of them.",
)
def service_outputs(attempt: Attempt) -> None:
    np = _numpy()
    with folder_of_its_own() as folder:
        model, path = _network(attempt), folder / "service.onnx"
        attempt.call(model, path)
        session = open_answer(attempt, path)
        expect_names(attempt, [i.name for i in session.get_inputs()], ["images"], "input")
        expect_names(attempt, [o.name for o in session.get_outputs()], ["probabilities", "label"], "output")
        for rows in (4, 11):
            images = _images(attempt, rows)
            try:
                probabilities, label = session.run(None, {"images": images})
            except Exception as error:
                raise NotYet(f"{rows} images are refused: {first_line(error)}", "any number of images") from None
            scores = _answers(model, images).astype(np.float64)
            wanted = np.exp(scores - scores.max(1, keepdims=True))
            wanted /= wanted.sum(1, keepdims=True)
            attempt.expect(
                probabilities.shape == wanted.shape,
                f"probabilities of shape {probabilities.shape} for {rows} images",
                f"shape {wanted.shape}",
            )
            attempt.expect(
                np.allclose(probabilities.sum(1), 1, atol=1e-3),
                f"the first image's probabilities add up to {float(probabilities[0].sum()):.3f}",
                "each image's ten probabilities add up to 1",
            )
            attempt.expect(
                apart(wanted, probabilities) < CLOSE,
                f"probabilities that are {apart(wanted, probabilities):.2g} away from the model's",
                f"agreement to {CLOSE}",
            )
            attempt.expect(
                label.shape == (rows,) and np.array_equal(label, wanted.argmax(1)),
                f"labels of shape {label.shape} and type {label.dtype}: {label.ravel()[:4].tolist()} and so on",
                "for each image the class with the largest probability, as one whole number",
            )


@task(
    "one_file",
    title="Make two files into one that can be moved",
    hints=[
        "The weights lie in a second file, and the first one only says where. Something must bring them together.",
        "onnx.load finds the second file by itself, as long as both lie in one folder.",
        "onnx.save(model, target) writes everything into one file unless you ask for external data.",
    ],
    learned="A model of two files is moved as two files, or it does not start. Below 2 GB you may choose one.",
)
def one_file(attempt: Attempt) -> None:
    with folder_of_its_own() as folder:
        here, target, elsewhere = folder / "here", folder / "target", folder / "elsewhere"
        for made in (here, target, elsewhere):
            made.mkdir()
        model, source = _network(attempt), here / "digits.onnx"
        _export(model, source, external_data=True)
        before = {path.name: path.read_bytes() for path in here.iterdir()}
        attempt.call(source, target / "one.onnx")
        attempt.expect((target / "one.onnx").is_file(), "no file at the target's path", "the whole model there")
        after = {path.name: path.read_bytes() for path in here.iterdir()}
        attempt.expect(before == after, "the source's files are changed or gone", "a copy that leaves them alone")
        shutil.copy(target / "one.onnx", elsewhere / "one.onnx")
        shutil.rmtree(here)
        shutil.rmtree(target)
        try:
            session = open_session(elsewhere / "one.onnx")
        except Exception as error:
            raise NotYet(
                f"moved alone to another folder, the file does not open: {first_line(error, folder)}",
                "a file that needs no other",
            ) from None
        images = _images(attempt, 5)
        (given,) = session.run(None, {session.get_inputs()[0].name: images})
        expect_same(attempt, _answers(model, images), given, "the moved file's answer")


# The networks that the checks make


def _numpy() -> Any:
    import numpy

    return numpy


def _network(attempt: Attempt) -> "torch.nn.Module":
    """A small classifier with random weights, and with statistics that make evaluation mode matter."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(attempt.rng.integers(2**31)))
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 24), nn.ReLU()
        )
        model.extend([nn.Dropout(0.5), nn.Linear(24, 10)])
        norm = model[1]
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.2, 0.8)
    return model.eval()


def _images(attempt: Attempt, rows: int) -> "Images":
    images: Images = attempt.rng.random((rows, 1, 8, 8), dtype="float32")
    return images


def _answers(model: "torch.nn.Module", images: "Images") -> "Images":
    import copy

    import torch

    with torch.no_grad():
        answers: Images = copy.deepcopy(model).eval()(torch.from_numpy(images)).numpy()
    return answers


def _export(model: "torch.nn.Module", path: Path, external_data: bool = False) -> None:
    import torch

    torch.onnx.export(
        model,
        (torch.zeros(2, 1, 8, 8),),
        path,
        input_names=["images"],
        dynamic_shapes=({0: "batch"},),
        external_data=external_data,
        verbose=False,
    )


def _shift_one_weight(path: Path, shift: float) -> None:
    """Change one weight of the last layer, so that some rows differ more than others."""
    import onnx

    model = onnx.load(path)
    weight = next(w for w in model.graph.initializer if sorted(w.dims) == [10, 24])
    values = onnx.numpy_helper.to_array(weight).copy()
    values[3, 7] += shift
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, path)


def _level() -> "torch.nn.Module":
    """The module of the exercise: it takes an image's median, the paper, as zero."""
    import torch

    class Levelled(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images - images.flatten(1).median(1).values[:, None, None, None]

    return Levelled().eval()


def _levelled(images: "Images") -> "Images":
    import torch

    levelled: Images = _level()(torch.from_numpy(images)).numpy()
    return levelled


def _refused_operator() -> str:
    """What torch's exporter says, here and now, about the exercise's module."""
    import torch

    with folder_of_its_own() as folder:
        try:
            _export(_level(), folder / "levelled.onnx")
        except torch.onnx.OnnxExporterError as error:
            found = re.search(r"op='([\w.]+)', overload='(\w+)'", str(root_cause(error)))
            if found:
                return f"{found[1]}.{found[2]}"
    raise RuntimeError("this release of torch exports the exercise's module: the task needs another one")
