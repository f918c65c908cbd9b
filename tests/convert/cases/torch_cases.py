"""torch: layers, several inputs and outputs, free axes, and what no graph can say."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tests.convert.cases import Answers, Case
from tests.convert.cases.tables import draw

CASES: list[Case] = []
Draw = Callable[[np.random.Generator, int], NDArray[Any]]


def floats(*shape: int) -> Draw:
    return lambda generator, rows: generator.normal(size=(rows, *shape)).astype(np.float32)


def whole(*shape: int, low: int = -9, high: int = 10) -> Draw:
    return lambda generator, rows: generator.integers(low, high, (rows, *shape))


class Function(nn.Module):
    """A function as a module, beside the layers that it calls."""

    def __init__(self, function: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


class Function2(Function):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self.function(self, x, y)


def forward(model: nn.Module, inputs: Any) -> Answers:
    """What the module itself returns in evaluation mode."""
    model.eval()
    with torch.no_grad():
        if isinstance(inputs, Mapping):
            given = model(**{name: torch.tensor(array) for name, array in inputs.items()})
        else:
            given = model(*map(torch.tensor, inputs if isinstance(inputs, tuple) else (inputs,)))
    if isinstance(given, torch.Tensor):
        return {"output": given}
    return given if isinstance(given, dict) else {f"output_{place}": one for place, one in enumerate(given)}


def batch(draws: tuple[Draw, ...], seed: int, rows: int) -> Any:
    arrays = tuple(each(draw(seed), rows) for each in draws)
    return arrays if len(arrays) > 1 else arrays[0]


def varied(draws: tuple[Draw, ...]) -> list[Any]:
    """Batches of 1, 3 and 7; of floats, also negative ones, zeros and halves."""
    made = [batch(draws, rows, rows) for rows in (1, 3, 7)]
    first = made[-1] if isinstance(made[-1], tuple) else (made[-1],)
    for change in (lambda a: -np.abs(a), np.zeros_like, lambda a: np.round(a * 2) / 2):
        changed = tuple(change(array).astype(array.dtype) if array.dtype.kind == "f" else array for array in first)
        made.append(changed if len(changed) > 1 else changed[0])
    return made


def add(
    name: str,
    make: Callable[[], nn.Module],
    *draws: Draw,
    inputs: Any = None,
    more: Any = (),
    oracle: Any = forward,
    **options: Any,
) -> None:
    """``more`` are further batches, such as those of other lengths."""
    draws = draws or (floats(4),)

    def seeded() -> nn.Module:
        torch.manual_seed(0)
        return make()

    names = inputs or ("x", "y")[: len(draws)]
    held_out = lambda _: [*varied(draws), *more]  # noqa: E731
    CASES.append(Case(f"torch {name}", seeded, batch(draws, 99, 2), oracle, held_out, names, options))


def function(name: str, body: Callable[..., Any], *draws: Draw, layers: Any = None, **options: Any) -> None:
    kind = Function2 if len(draws) == 2 else Function
    add(name, lambda: kind(body, **(layers() if layers else {})), *draws, **options)


def refuse(name: str, make: Any, sentence: str, remedy: str, example: Any = None, **options: Any) -> None:
    example = batch((floats(4),), 99, 4) if example is None else example
    CASES.append(Case(f"torch {name}", make, example, options=options, refused=(sentence, remedy)))


def refuse_function(name: str, body: Any, sentence: str, remedy: str, example: Any = None, **options: Any) -> None:
    refuse(name, lambda: Function(body), sentence, remedy, example, **options)


def lengths(*sizes: int) -> list[Any]:
    return [floats(size, 8)(draw(size), 3) for size in sizes]


SEQUENCE = floats(6, 8)
LENGTH = [{1: "length"}]
add("layers", lambda: nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2)), inputs=["input"])
convolution = lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())  # noqa: E731
add("convolution in training mode", lambda: convolution().train(), floats(3, 6, 6), inputs=["input"])
pool = lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())  # noqa: E731
sizes = [floats(3, height, width)(draw(height), 3) for height, width in ((5, 9), (11, 7))]
images = {"dynamic_axes": [{2: "height", 3: "width"}], "more": sizes}
add("images of any size", pool, floats(3, 6, 6), inputs=["input"], **images)
words = [whole(length, low=0, high=20)(draw(length), 3) for length in (3, 9)]
embedding = {"dynamic_axes": LENGTH, "more": words, "inputs": ["input"]}
add("embedding", lambda: nn.Embedding(20, 4, padding_idx=0), whole(6, low=0, high=20), **embedding)
inner = lambda m, x: {"a.0": x, "a.1.k": x * 2, "b": x.sum(1)}  # noqa: E731
nested = {"oracle": lambda m, x: inner(m, torch.tensor(x))}
function("nested outputs", lambda m, x: {"a": (x + 0, {"k": x * 2}), "none": None, "b": x.sum(1)}, **nested)


class Difference(nn.Module):
    def forward(self, right: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
        return right - 2 * left


add("two inputs", Difference, floats(4), floats(4), inputs=["right", "left"])
both = [{name: floats(4)(draw(rows), rows) for name in ("left", "right")} for rows in (1, 3, 7)]
CASES.append(Case("torch inputs by name", Difference, both[1], forward, lambda _: both))
add("scripted", lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 8), nn.ReLU())), inputs=["input"])


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.calls


class RunningMean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return x - self.mean


class DropsAlways(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(x, 0.5, training=True)


class Masked(nn.Module):
    """An encoder whose fast path in torch sets masked places to zero."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.encoder(x, src_key_padding_mask=mask)


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] > 2:
            return x * 2
        return x - 1


class Loop(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(x[0])
        for place in range(x.shape[0]):
            total = total * 0.5 + x[place]
        return total + x


STATE = ("draws random numbers or keeps state between calls", "switch that off in the model")
refuse_function("noise", lambda m, x: x + torch.randn_like(x), *STATE)
refuse_function("little noise", lambda m, x: x + 1e-3 * torch.randn_like(x), *STATE)
refuse_function("Python's random numbers", lambda m, x: x * random.random(), *STATE)
refuse_function("numpy's random numbers", lambda m, x: x + float(np.random.normal()), *STATE)
refuse_function("the time", lambda m, x: x + time.time_ns() % 1000, *STATE)
refuse("dropout that stays on", DropsAlways, *STATE)
refuse("a counter", Counter, *STATE)
refuse("a running mean", RunningMean, *STATE)
BY_DATA = ("decides by its data", "torch.where")
function("negative whole numbers divided", lambda m, x: (x // 3, x % -3), whole(5))
add("a scripted branch by rows", lambda: torch.jit.script(Branch()), inputs=["input"])
function("rounding, remainder and powers", lambda m, x: (x.round(), x.trunc(), x % -0.75, x**3, x.cumsum(0)))
BY_ROWS = (r"\(a batch of 1\)", "the answers depend on the number of rows")
two = batch((floats(4),), 99, 2)
refuse_function("odd numbers of rows", lambda m, x: x - 1 if len(x) % 2 else x + 1, *BY_ROWS, two)
traced = lambda: torch.jit.trace(Loop(), torch.ones(3, 4))  # noqa: E731
refuse("a trace of three rows", traced, "answers 4 rows and not 2", "without a size that is fixed in its code")
fixed = lambda m, x: x.view(-1, 48)  # noqa: E731
sentence = "answers where length is 6, and not where it is 7"
refuse_function(
    "a length in the code", fixed, sentence, "leave 'length' out", SEQUENCE(draw(1), 2), dynamic_axes=LENGTH
)
refuse_function("a branch by data", lambda m, x: x * 2 if x.sum() > 0 else x - 1, *BY_DATA)
refuse_function("a product of its own axes", lambda m, x: torch.cdist(x, x), "operator aten", "other operators")
refuse_function("an object", lambda m, x: {"y": x, "version": "1"}, "answers with a builtins.str", "return tensors")
unmasked = np.zeros((2, 6), bool)
padding = "rows with a mask at the end"
refuse("a padding mask", Masked, padding, "enable_nested_tensor=False", (SEQUENCE(draw(1), 2), unmasked))
nowhere = {"nowhere": np.ones((2, 4), np.float32)}
refuse("an unknown input", lambda: nn.Linear(4, 2), "must be Tensor, not dict", "pass an example", nowhere)
refuse(
    "an axis that is not there",
    lambda: nn.Linear(4, 2),
    "axis 7",
    "dictionary for each input",
    dynamic_axes=[{7: "length"}],
)
uneven = (np.ones((2, 4), np.float32), np.ones((3, 4), np.float32))
refuse("inputs of other numbers of rows", Difference, "have 2, 3 rows", "as many rows of each", uneven)
refuse(
    "an example without rows", Difference, r"has the shape \(0, 4\)", "at least one row", np.ones((0, 4), np.float32)
)
refuse("rows that are too short", lambda: nn.Linear(9, 2), "itself does not answer the example", "pass an example")
refuse_function("no tensor at all", lambda m, x: {"loss": None}, "answers with no tensor", "at least one tensor")
