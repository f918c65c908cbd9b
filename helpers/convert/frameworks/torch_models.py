"""torch: modules (Lightning's are such), and compiled ScriptModules."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.convert.conversion import Arrays, Converter, from_package, numbered
from helpers.convert.model_file import LARGEST_SINGLE_FILE
from helpers.convert.silence import quietly
from helpers.errors import UserError

if TYPE_CHECKING:
    import torch


def write(model: Any, example: Arrays, path: Path) -> None:
    """Today's exporter, with the batch dynamic; a ScriptModule only goes through the older one."""
    import torch

    tensors = as_tensors(model, example)
    outputs = numbered("output", len(answer(model, example)))
    scripted = isinstance(model, torch.jit.ScriptModule)
    with as_it_answers(model), quietly():
        try:
            if scripted:
                inputs = numbered("input", len(tensors))
                axes = {name: {0: "batch"} for name in inputs}
                torch.onnx.export(
                    model, tensors, path, input_names=inputs, output_names=outputs, dynamic_axes=axes, dynamo=False
                )
            else:
                large = sum(weights.nbytes for weights in model.state_dict().values()) > LARGEST_SINGLE_FILE
                batches = tuple({0: "batch"} for _ in tensors)
                torch.onnx.export(model, tensors, path, dynamic_shapes=batches, external_data=large, verbose=False)
        except Exception as error:  # the exporters' own, and whatever forward raised on the way
            raise explain(model, error) from error


def answer(model: Any, arrays: Arrays) -> Arrays:
    import torch

    with as_it_answers(model), torch.no_grad():
        given = model(*as_tensors(model, arrays))
    if isinstance(given, dict):
        given = tuple(given.values())
    tensors = given if isinstance(given, (tuple, list)) else (given,)
    return tuple(np.asarray(tensor.cpu()) for tensor in tensors)


def as_tensors(model: Any, arrays: Arrays) -> "tuple[torch.Tensor, ...]":
    """The arrays on the device where the model's weights are."""
    import torch

    weights = next(model.parameters(), None)
    device = weights.device if weights is not None else "cpu"
    return tuple(torch.tensor(array, device=device) for array in arrays)


@contextmanager
def as_it_answers(model: Any) -> Iterator[None]:
    """In evaluation mode, and afterwards in the mode that each part was in."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def explain(model: Any, error: BaseException) -> UserError:
    """The exporters' pages as one sentence: which operator or line, and what to do."""
    kind, said = type(model).__name__, str(error)
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    operator = re.search(r"op='([\w.:]+)', overload='(\w+)'", str(root)) or re.search(
        r"Exporting the operator '(aten::\w+)'", said
    )
    line = written_at(said) or written_at(str(root))
    where = f" ({line})" if line else ""
    if operator:
        name = operator[1] + (f".{operator[2]}" if operator.lastindex == 2 else "")
        return UserError(
            f"{kind} uses the operator {name}{where}, which has no counterpart in ONNX.",
            "compute the same with other operators, as lesson 01 does, or outside of the model.",
        )
    if "data-dependent" in said or "data-dependent" in str(root):
        return UserError(
            f"{kind} decides by its data which way to go{where}; a graph has one way.",
            "compute both ways and choose with torch.where, as lesson 01 does.",
        )
    first = (str(root).strip().splitlines() or [type(root).__name__])[0]
    return UserError(
        f"{kind} could not be exported: {type(root).__name__}: {first[:300]}",
        "it answers the example itself; read what torch.onnx.export says with verbose=True.",
    )


def written_at(said: str) -> str:
    """The last line of the model's own code that an exporter names."""
    found = re.findall(r'File "([^"]+)", line (\d+), in (\w+)\n\s+(.+)', said)
    ours = [entry for entry in found if "site-packages" not in entry[0]]
    return f"line {ours[-1][1]} of {ours[-1][2]}: {ours[-1][3].strip()[:80]}" if ours else ""


CONVERTER = Converter("torch", from_package("torch"), write, answer, needs=("torch", "onnx", "onnxscript"))
