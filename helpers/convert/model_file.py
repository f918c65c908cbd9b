"""The last step of every conversion: one file, named tensors, a batch of any size, and checked."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from helpers.errors import UserError

if TYPE_CHECKING:
    import onnx

LARGEST_SINGLE_FILE = 2_000_000_000
STANDARD = {"", "ai.onnx.ml"}
# What converters call an output, and what it is.
PLAINER = {"variable": "output", "output_label": "label", "output_probability": "probabilities"}


def complete(
    made: Path, path: Path, inputs: Sequence[str], outputs: Sequence[str], answers: Sequence[NDArray[Any]]
) -> None:
    """Bring what a framework's exporter wrote into the course's form, and check it.

    ``answers`` are the model's own for two rows: outputs that it does not give are dropped,
    and what has two rows there has a batch in the file.
    """
    import onnx

    model = onnx.load(made)
    expect_known_operators(model)
    del model.graph.output[len(answers) :]
    for value in model_inputs(model):
        _name_axes(value, batched=not value.type.tensor_type.shape.dim[0].HasField("dim_value"))
    for value, answer in zip(model.graph.output, answers, strict=False):
        _name_axes(value, batched=answer.shape[:1] == (2,))
    _rename(model, model_inputs(model), inputs, "input")
    _rename(model, list(model.graph.output), outputs, "output")
    del model.graph.value_info[:]  # shapes between the steps, with the exporter's names for the axes
    large = model.ByteSize() > LARGEST_SINGLE_FILE
    beside = made.with_name("complete.onnx")
    onnx.save(model, beside, save_as_external_data=large, location=f"{path.name}.data")
    try:
        onnx.checker.check_model(beside, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        said = next(iter(str(error).strip().splitlines()), "")[:200]
        raise UserError(
            f"The converter wrote a file that is not valid: {said}",
            "pass a float32 example: trees are written for that only.",
        ) from error
    if large:
        (made.parent / f"{path.name}.data").replace(path.with_name(f"{path.name}.data"))
    beside.replace(path)


def save(model: "onnx.ModelProto", path: Path, outputs: Sequence[str] = ()) -> None:
    """What a converter's ``write`` ends with. Without names for the outputs, the plainer ones are taken."""
    import onnx

    values = list(model.graph.output)
    _rename(model, values, outputs or [PLAINER.get(value.name, value.name) for value in values], "output")
    onnx.save(model, path)


def expect_known_operators(model: "onnx.ModelProto") -> None:
    """Refuse a file that nobody can run: some exporters write what they did not understand as it was."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    own = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        if (node.domain, node.op_type) not in own and not _exists(node, versions):
            raise UserError(
                f"The operator {node.op_type} (in {node.name or 'the graph'}) has no counterpart in ONNX.",
                "compute the same with other operators, or outside of the model.",
            )


def model_inputs(model: "onnx.ModelProto") -> "list[onnx.ValueInfoProto]":
    """What a caller passes; older exporters list the weights as inputs too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _exists(node: "onnx.NodeProto", versions: dict[str, int]) -> bool:
    import onnx

    if node.domain == "com.microsoft":  # ONNX Runtime's own, which the standard does not list
        return True
    domain = "" if node.domain == "ai.onnx" else node.domain
    return domain in STANDARD and bool(onnx.defs.has(node.op_type, versions.get(domain, 1), domain))


def _name_axes(value: "onnx.ValueInfoProto", batched: bool) -> None:
    """Call the first axis ``batch``, where exporters leave it open, call it unk__6, or say 1 and do not mean it."""
    for place, axis in enumerate(value.type.tensor_type.shape.dim):
        if place == 0 and batched:
            axis.dim_param = "batch"
        elif re.fullmatch(r"unk__\d+", axis.dim_param):
            axis.dim_param = f"axis_{place}"


def _rename(model: "onnx.ModelProto", values: "Sequence[onnx.ValueInfoProto]", new: Sequence[str], what: str) -> None:
    """Give tensors new names wherever they occur."""
    if not new:
        return
    old = [value.name for value in values]
    if len(new) != len(old):
        raise UserError(f"{len(new)} names for {len(old)} {what}s ({', '.join(old)}).", "name each of them, in order.")
    names = dict(zip(old, new, strict=True))
    others = {value.name for value in (*model_inputs(model), *model.graph.output)} - set(old)
    clash = sorted(set(new) & others) or [name for name in new if new.count(name) > 1]
    if clash:
        raise UserError(f"Two tensors would be called {clash[0]!r}.", f"choose another name for the {what}.")
    inner = {name for node in model.graph.node for name in node.output}
    inner |= {tensor.name for tensor in model.graph.initializer}
    names |= {name: f"{name}_inner" for name in (inner & set(new)) - set(old)}
    for value in values:
        value.name = names[value.name]
    _rename_in(model.graph, names)


def _rename_in(graph: "onnx.GraphProto", names: dict[str, str]) -> None:
    """Branches and loops hold graphs of their own."""
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename_in(inner, names)
