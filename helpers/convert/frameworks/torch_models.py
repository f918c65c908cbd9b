"""torch: modules (Lightning's are such), and compiled ScriptModules."""

import copy
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.conversion import Converter, from_package
from helpers.convert.errors import ConversionError
from helpers.convert.inputs import Arrays, Inputs
from helpers.convert.model_file import LARGEST_SINGLE_FILE, numbered
from helpers.convert.shapes import Lengths
from helpers.convert.silence import quietly

if TYPE_CHECKING:
    import torch

    Tensors = tuple[torch.Tensor, ...]


def write(model: Any, example: Inputs, path: Path, lengths: Lengths | None = None) -> None:
    """Today's exporter, with the batch dynamic; a ScriptModule only goes through the older one."""
    import torch

    tensors = as_tensors(model, example)
    names = [name for name, _ in outputs_by_name(ask(model, example))]
    names = [f"{name}_out" if name in parameter_names(model, example) else name for name in names]
    axes = [{0: "batch"} | (lengths or {}).get(place, {}) for place in range(len(example))]
    with as_it_answers(model), quietly():
        try:
            if isinstance(model, torch.jit.ScriptModule):
                _export_script(model, tensors, path, example, names, axes)
            else:
                large = sum(weights.nbytes for weights in model.parameters()) > LARGEST_SINGLE_FILE
                arguments: dict[str, Any] = {"args": tensors, "dynamic_shapes": tuple(axes)}
                if example.names:
                    by_name = dict(zip(example.names, tensors, strict=True))
                    shapes = dict(zip(example.names, axes, strict=True))
                    arguments = {"args": (), "kwargs": by_name, "dynamic_shapes": shapes}
                    if not takes_by_name(model, example):
                        arguments = {"args": (by_name,), "kwargs": {}, "dynamic_shapes": (shapes,)}
                torch.onnx.export(model, f=path, output_names=names, external_data=large, verbose=False, **arguments)
        except Exception as error:  # the exporters' own, and whatever forward raised on the way
            raise explain(model, error) from error


def _export_script(
    model: Any, tensors: "Tensors", path: Path, example: Inputs, names: list[str], axes: list[dict[int, str]]
) -> None:
    import torch

    inputs = list(example.names) or numbered("input", len(tensors))
    torch.onnx.export(
        model,
        tensors,
        path,
        input_names=inputs,
        output_names=names,
        dynamic_axes=dict(zip(inputs, axes, strict=True)),
        dynamo=False,
    )


def answer(model: Any, arrays: Inputs) -> Arrays:
    return tuple(array for _, array in outputs_by_name(ask(model, arrays)))


def ask(model: Any, arrays: Inputs) -> Any:
    """What forward returns, for inputs in order or by name."""
    import torch

    tensors = as_tensors(model, arrays)
    with as_it_answers(model), torch.no_grad():
        if arrays.names and not isinstance(model, torch.jit.ScriptModule):
            named = dict(zip(arrays.names, tensors, strict=True))
            return model(**named) if takes_by_name(model, arrays) else model(named)
        return model(*tensors)


def parameter_names(model: Any, inputs: Inputs) -> set[str]:
    """What the inputs are called in the file: an output cannot have the same name."""
    try:
        return {*inputs.names, *inspect.signature(model.forward).parameters}
    except (TypeError, ValueError):
        return set(inputs.names)


def takes_by_name(model: Any, inputs: Inputs) -> bool:
    """True if forward has a parameter for each name; else it takes the dictionary itself."""
    parameters = inspect.signature(model.forward).parameters
    open_ended = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return open_ended or set(inputs.names) <= set(parameters)


def outputs_by_name(given: Any) -> list[tuple[str, NDArray[Any]]]:
    """The tensors of what forward returned: a key keeps its name, and one inside another is ``outer.inner``."""
    import torch
    from torch.utils import _pytree as pytree

    found = []
    leaves, _ = pytree.tree_flatten_with_path(given)
    numbered_outputs = not isinstance(given, dict)
    for path, leaf in leaves:
        if leaf is None:
            continue
        if not isinstance(leaf, torch.Tensor):
            raise ConversionError(
                f"The model answers with a {type(leaf).__module__}.{type(leaf).__qualname__}.",
                "return tensors, alone or in tuples, lists and dictionaries.",
            )
        parts = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path]
        name = ".".join(parts) or "output"
        tensor = leaf.detach().cpu()
        array = np.asarray(tensor.float() if tensor.dtype == torch.bfloat16 else tensor)
        found.append((f"output_{name}" if numbered_outputs and parts and parts[0].isdigit() else name, array))
    if not found:
        raise ConversionError("The model answers with no tensor.", "return at least one tensor from forward.")
    return [("output", found[0][1])] if len(found) == 1 and found[0][0] == "output_0" else found


def as_tensors(model: Any, arrays: Inputs) -> "Tensors":
    """The arrays on the device where the model's weights are."""
    import torch

    weights = next(model.parameters(), None)
    device = weights.device if weights is not None else "cpu"
    return tuple(torch.tensor(array, device=device) for array in arrays)


@contextmanager
def as_it_answers(model: Any) -> Iterator[None]:
    """In evaluation mode, and afterwards in the mode that each part was in."""
    modes = {part: part.training for part in model.modules() if hasattr(part, "training")}
    if modes:  # a frozen ScriptModule has no mode
        model.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@contextmanager
def unchanged(model: Any) -> Iterator[Any]:
    """A copy, or the model itself with its parameters and buffers put back."""
    try:
        working = copy.deepcopy(model)
    except Exception:  # such as weights that are computed from others
        working, kept = model, {name: tensor.clone() for name, tensor in model.state_dict().items()}
        try:
            yield working
        finally:
            model.load_state_dict(kept)
        return
    yield working


def explain(model: Any, error: BaseException) -> ConversionError:
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
        return ConversionError(
            f"{kind} uses the operator {name}{where}, which has no counterpart in ONNX.",
            "compute the same with other operators, as lesson 01 does, or outside of the model.",
        )
    if "data-dependent" in said or "data-dependent" in str(root):
        return ConversionError(
            f"{kind} decides by its data which way to go{where}; a graph has one way.",
            "compute both ways and choose with torch.where, as lesson 01 does.",
        )
    if "conflicts between user-specified" in str(root) or "conflicts between user-specified" in said:
        return ConversionError(
            f"{kind} fixes the number of rows, or another size that is to be dynamic{where}.",
            "compute on the whole tensor, without a loop over its rows and without a size as a number; for a dynamic "
            "length of a recurrent layer, pass torch.jit.script(model).",
        )
    if "structure of `inputs`" in str(root):
        return ConversionError(f"{kind} takes its inputs as *args.", "give each input of forward a name.")
    first = (str(root).strip().splitlines() or [type(root).__name__])[0]
    return ConversionError(
        f"{kind} could not be exported: {type(root).__name__}: {first[:300]}",
        "it answers the example itself; read what torch.onnx.export says with verbose=True.",
    )


def written_at(said: str) -> str:
    """The last line of the model's own code that an exporter names."""
    found = re.findall(r'File "([^"]+)", line (\d+), in (\w+)\n\s+(.+)', said)
    ours = [entry for entry in found if "site-packages" not in entry[0]]
    return f"line {ours[-1][1]} of {ours[-1][2]}: {ours[-1][3].strip()[:80]}" if ours else ""


CONVERTER = Converter(
    "torch",
    from_package("torch"),
    write,
    answer,
    needs=("torch", "onnx", "onnxscript"),
    unchanged=unchanged,
    takes=("dynamic_axes",),
)
