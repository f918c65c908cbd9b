"""Lesson 04, Graph optimisation: five tasks, each decided by the file that ONNX Runtime writes.

The checks optimise to ``extended`` and no further: what comes above it differs from one
processor to the next.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.classroom.checking import Attempt, NotYet, task
from helpers.classroom.checks.model_files import expect_same, first_line, folder_of_its_own, open_answer, open_session

if TYPE_CHECKING:
    import torch

    from helpers.convert import Became

OF_THE_STANDARD = {"", "ai.onnx", "ai.onnx.ml"}
BLOCKED_LAYOUT = "com.microsoft.nchwc"
ACTIVATIONS = {"Relu", "Clip", "Max", "LeakyRelu"}


@task(
    "predict",
    title="Say which operators are left of the puzzle at the level extended",
    hints=[
        "Go through the table from the top. What can go into the weights of a step before it? What is directly "
        "behind a convolution or a matrix product?",
        "BatchNormalization goes into its Conv. An activation goes into a Conv or Gemm only if it is what comes next.",
        "Between the second Conv and its Relu there is a MaxPool. So three steps stay there as they are.",
    ],
    learned="A fusion needs direct neighbours: what is folded away is no obstacle, and a step in between is one.",
)
def predict(attempt: Attempt) -> None:
    import torch

    given = attempt.answer
    attempt.expect_type(given, dict, "the prediction")
    attempt.expect(
        given and all(isinstance(name, str) and isinstance(count, int) for name, count in given.items()),
        f"{given!r}"[:100],
        "a dictionary from the name of an operator to how often it occurs",
    )
    with folder_of_its_own() as folder:
        before = _export(_puzzle(), torch.zeros(2, 1, 8, 8), folder / "puzzle.onnx")
        there = _operators(_extended(before))
    wrong = [f"{count} {name}" for name, count in given.items() if count != there[name]]
    attempt.expect(
        not wrong,
        f"you predict {', '.join(wrong)}; the optimised file has another number of these",
        "the operators of the optimised file, and how often each occurs in it",
    )
    attempt.expect(
        sum(given.values()) == sum(there.values()),
        f"all that you predict is there, but it is {sum(given.values())} steps and the file has more",
        "all operators of the optimised file",
    )


@task(
    "saved_bytes",
    title="Estimate the bytes that a fused step no longer moves",
    hints=[
        "Which tensors did the steps of step.before make that are not among step.after.makes? Those vanished.",
        "The bytes of one are 4 times the product of its shape, with the batch in place of the axis that is a name. "
        "How many of the steps in step.before have it in their .reads?",
        "For each vanished tensor add 4 * math.prod(shape) * (1 + readers). A step that was kept lets nothing "
        "vanish, so the sum is 0.",
    ],
    learned="A tensor that vanishes saves a write and a read for each of its readers: at least twice its own size.",
)
def saved_bytes(attempt: Attempt) -> None:
    import numpy as np
    import torch

    from helpers.convert import compare_graphs

    wide, channels = (int(size) for size in attempt.rng.choice([12, 20, 28, 36], 2, replace=False))
    models = [
        (_convolutions(attempt, channels), torch.zeros(2, 3, 9, 11), int(attempt.rng.integers(3, 9))),
        (_feed_forward(attempt, wide), torch.zeros(2, 7, wide), int(attempt.rng.integers(10, 20))),
    ]
    with folder_of_its_own() as folder:
        for model, example, batch in models:
            before = _export(model, example, folder / "before.onnx")
            moved = _bytes_by_tensor(before, np.resize(example.numpy(), (batch, *example.shape[1:])))
            for step in compare_graphs(before, _extended(before)).steps:
                given = attempt.call(step, batch)
                attempt.expect_type(given, (int, float, np.integer, np.floating), "the result")
                _expect_bytes(attempt, step, batch, float(given), _saved(step, moved))


@task(
    "blocked",
    title="Name the endings in which the convolution stays alone",
    hints=[
        "For one ending: before = export(Ending(endings['plain']), torch.zeros(2, 3, 8, 8), 'ending.onnx'), then "
        "print(compare_graphs(before, optimise(before))).",
        "Do that for all of them, in a loop, and look for those whose result has no line with FusedConv in it.",
        "Three endings are blocked. One has another reader, one a step in between, and one looks as if it could "
        "be folded and is not.",
    ],
    learned="Per channel, a sum is folded; of a single number it is not. Patterns are matched by their looks.",
)
def blocked(attempt: Attempt) -> None:
    import torch

    attempt.expect_type(attempt.answer, (set, frozenset, list, tuple), "the answer")
    named = list(attempt.answer)
    endings = _endings()
    unknown = [name for name in named if not isinstance(name, str) or name not in endings]
    attempt.expect(not unknown, f"{unknown[:3]}, which is no ending here", f"names among {', '.join(endings)}")
    alone = set()
    with folder_of_its_own() as folder:
        for name, ending in endings.items():
            before = _export(_ending(ending), torch.zeros(2, 3, 8, 8), folder / "ending.onnx")
            if "FusedConv" not in _operators(_extended(before)):
                alone.add(name)
    wrongly, missed = len(set(named) - alone), len(alone - set(named))
    attempt.expect(
        not wrongly and not missed,
        f"{len(endings) - wrongly - missed} of {len(endings)} endings are as you say; {wrongly} of those that you "
        f"name do fuse, and {missed} more do not",
        "exactly those whose optimised file has no FusedConv",
    )


@task(
    "mend",
    title="Write the network again so that both convolutions fuse, with the same answers",
    hints=[
        "Who reads what the first convolution makes? Only its activation should. What can the gauge read instead?",
        "The largest of some numbers, cut at zero, is the largest of the cut numbers: MaxPool and Relu may change "
        "places. And task 3 had an ending called brighter.",
        "Take relu of the first convolution at once, and the gauge's mean and the pooling from that. Half more on "
        "each channel is half more in each bias: F.conv2d takes weights and bias.",
    ],
    learned="The answers decide what a network is. Among the ways to write it, choose one that the optimiser knows.",
)
def mend(attempt: Attempt) -> None:
    import torch

    attempt.expect(
        isinstance(attempt.answer, type) and issubclass(attempt.answer, torch.nn.Module),
        "something that is not a class of torch modules",
        "the class that the exercise begins",
    )
    original, mended = _gauged(attempt), attempt.call()
    try:
        strange = mended.load_state_dict(original.state_dict(), strict=False).unexpected_keys
    except RuntimeError as error:
        strange = [first_line(error)]
    attempt.expect(
        not strange,
        f"the weights of Gauged do not fit into it: {', '.join(strange)}",
        "the layers of Gauged as they are, and another forward",
    )
    with folder_of_its_own() as folder, torch.no_grad():
        for rows in (1, 6):
            images = torch.from_numpy(attempt.rng.normal(0, 1, (rows, 1, 8, 8)).astype("float32"))
            given = attempt.call_other(mended, images)
            attempt.expect(
                isinstance(given, (tuple, list))
                and len(given) == 2
                and all(isinstance(part, torch.Tensor) for part in given),
                f"forward returns a {type(given).__name__}",
                "a tuple of two tensors, the scores and the gauge",
            )
            for wanted, part, what in zip(original(images), given, ("scores", "gauge"), strict=True):
                expect_same(attempt, wanted.numpy(), part.numpy(), f"the {what} of the module")
        try:
            before = _export(mended, torch.zeros(2, 1, 8, 8), folder / "mended.onnx")
        except Exception as error:
            raise NotYet(
                f"the answers are right, but the exporter refuses the module: {first_line(error)}",
                "a module that can be exported",
            ) from None
        after = _extended(before)
        answers = open_session(after).run(None, {"x": images.numpy()})
        for wanted, part, what in zip(original(images), answers, ("scores", "gauge"), strict=True):
            expect_same(attempt, wanted.numpy(), part, f"the {what} of the optimised file")
        there = _operators(after)
    apart = [f"{count} {name}" for name, count in there.items() if name in ACTIVATIONS | {"Conv"}]
    attempt.expect(
        there["FusedConv"] == 2 and not apart,
        f"the answers are right; in the optimised file {there['FusedConv']} of 2 convolutions took their activation "
        f"along, and these stand alone: {', '.join(apart) or 'none'}",
        "2 FusedConv, and no convolution and no activation beside them",
    )


@task(
    "ship",
    title="Optimise a file for machines that are not this one",
    hints=[
        "runtime.optimize(source, target, level) writes the file. Which of the five levels fits which reader?",
        "Look at the table of levels in the lecture: from which level on are there operators that are not of the "
        "standard, and from which one on does a graph belong to a processor?",
        "basic stays with the standard. extended uses ONNX Runtime's own operators, and nothing of this processor.",
    ],
    learned="Choose the level by who will read the file: the last one that every reader understands.",
)
def ship(attempt: Attempt) -> None:
    import torch

    from helpers.convert import read_graph

    with folder_of_its_own() as folder:
        source = _export(_convolutions(attempt, 20), torch.zeros(2, 3, 9, 11), folder / "source.onnx")
        content = source.read_bytes()
        inputs = attempt.rng.random((4, 3, 9, 11), dtype="float32")
        (wanted,) = open_session(source).run(None, {"x": inputs})
        for reader, level in {"standard": "basic", "onnxruntime": "extended"}.items():
            target, what = folder / f"for-{reader}.onnx", f"for the reader {reader!r}"
            attempt.call(source, target, reader)
            attempt.expect(
                source.is_file() and source.read_bytes() == content,
                "the source is changed or gone",
                "the source as it was",
            )
            session = open_answer(attempt, target)
            expect_same(attempt, wanted, session.run(None, {"x": inputs})[0], f"the answer of the file {what}")
            graph = read_graph(target)
            domains = {node.domain for node in graph.nodes}
            foreign = domains - OF_THE_STANDARD if reader == "standard" else domains & {BLOCKED_LAYOUT}
            attempt.expect(
                not foreign,
                f"{what}, operators of the family {', '.join(sorted(foreign))}",
                "operators of the ONNX standard only"
                if reader == "standard"
                else "none that are arranged for this processor",
            )
            fewest = len(read_graph(_optimised(source, level)).nodes)
            attempt.expect(
                len(graph.nodes) <= fewest,
                f"{what}, {len(graph.nodes)} steps",
                f"no more than {fewest}, which is possible for it",
            )


# What the checks look at


def _expect_bytes(attempt: Attempt, step: "Became", batch: int, given: float, wanted: int) -> None:
    operators = " + ".join(node.operator for node in step.before)
    told = f"{given:,.0f} bytes for {operators} that became {step.after.operator}, with a batch of {batch}"
    if not wanted:
        attempt.expect(given == 0, told, "0 for a step in which no tensor vanished")
    attempt.expect(
        given == wanted,
        told,
        f"{wanted:,}: each tensor that vanished, written once and read by each of its readers",
    )


def _saved(step: "Became", moved: dict[str, tuple[int, int]]) -> int:
    """From the bytes that ONNX Runtime really made, and from who reads them in the file."""
    made = {tensor.name for earlier in step.before for tensor in earlier.makes}
    vanished = made - {tensor.name for tensor in step.after.makes}
    return sum(size * (1 + readers) for size, readers in (moved[name] for name in vanished))


def _bytes_by_tensor(path: Path, inputs: Any) -> dict[str, tuple[int, int]]:
    """For each tensor that a step makes: its bytes, measured by running, and the number of its readers."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    names = [name for node in model.graph.node for name in node.output]
    readers = {name: sum(name in node.input for node in model.graph.node) for name in names}
    already = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in already)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    answers = session.run(names, {"x": inputs})
    return {name: (answer.nbytes, readers[name]) for name, answer in zip(names, answers, strict=True)}


def _operators(path: Path) -> Any:
    from helpers.convert import read_graph

    return read_graph(path).operators()


def _extended(path: Path) -> Path:
    return _optimised(path, "extended")


def _optimised(path: Path, level: str) -> Path:
    from helpers.runtime import optimize

    return optimize(path, path.with_name(f"{path.stem}-at-{level}.onnx"), level)


def _export(model: "torch.nn.Module", example: "torch.Tensor", path: Path) -> Path:
    """As the exercise does it: the older exporter, with nothing folded."""
    import torch

    from helpers.convert import quietly

    axes = {"x": {0: "n"}}
    with quietly():
        torch.onnx.export(
            model.eval(),
            (example,),
            path,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=axes,
            opset_version=13,  # a layer normalisation is nine steps there
            do_constant_folding=False,
            dynamo=False,
        )
    return path


# The networks of the exercise, and others


def _puzzle() -> "torch.nn.Module":
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(72, 16), nn.ReLU(), nn.Linear(16, 10)),
    ).eval()


def _seeded(attempt: Attempt, make: "Callable[[], torch.nn.Module]") -> "torch.nn.Module":
    """A network with fresh weights; the learner's own random numbers are left as they were."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(attempt.rng.integers(2**31)))
        return make().eval()


def _convolutions(attempt: Attempt, channels: int) -> "torch.nn.Module":
    from torch import nn

    def make() -> nn.Module:
        norm = nn.BatchNorm2d(channels)
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.2, 0.8)
        layers = [nn.Conv2d(3, channels, 3), norm, nn.ReLU(), nn.Conv2d(channels, 6, 2), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 3 * 4, 10))

    return _seeded(attempt, make)


def _feed_forward(attempt: Attempt, wide: int) -> "torch.nn.Module":
    from torch import nn

    return _seeded(
        attempt,
        lambda: nn.Sequential(nn.LayerNorm(wide), nn.Linear(wide, 3 * wide), nn.GELU(), nn.Linear(3 * wide, wide)),
    )


def _endings() -> dict[str, Callable[[Any, Any], Any]]:
    from torch.nn import functional

    return {
        "plain": lambda net, made: made.relu(),
        "leaky": lambda net, made: functional.leaky_relu(made, 0.1),
        "normalised": lambda net, made: net.norm(made).relu(),
        "dropout": lambda net, made: net.drop(made).relu(),
        "doubled": lambda net, made: (2 * made).relu(),
        "brighter": lambda net, made: (made + 0.5).relu(),
        "pooled": lambda net, made: functional.max_pool2d(made, 2).relu(),
        "watched": lambda net, made: (made.relu(), made),
        "read twice": lambda net, made: made.relu() + made.relu(),
    }


def _ending(ending: Callable[[Any, Any], Any]) -> "torch.nn.Module":
    import torch
    from torch import nn

    class Ending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm, self.drop = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout()

        def forward(self, x: torch.Tensor) -> Any:
            return ending(self, self.convolution(x))

    return Ending().eval()


def _gauged(attempt: Attempt) -> "torch.nn.Module":
    """The colleague's network of the exercise, with fresh weights."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Gauged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 8, 3)
            self.second = nn.Conv2d(8, 8, 3, padding=1)
            self.score = nn.Linear(72, 10)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            made = self.first(x)
            gauge = made.clamp(min=0).mean((1, 2, 3))
            pooled = functional.max_pool2d(made, 2).relu()
            brighter = (self.second(pooled) + 0.5).relu()
            return self.score(brighter.flatten(1)), gauge

    return _seeded(attempt, Gauged)
