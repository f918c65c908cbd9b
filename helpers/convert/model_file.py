"""The last step of every conversion: one file, named tensors, a batch of any size, and checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.convert.errors import ConversionError
from helpers.convert.graph_builder import tensor_type
from helpers.convert.inputs import Arrays, Inputs
from helpers.convert.shapes import Lengths, Shape

if TYPE_CHECKING:
    import onnx

LARGEST_SINGLE_FILE = 2_000_000_000
STANDARD = {"", "ai.onnx.ml"}
# What converters call an output, and what it is.
PLAINER = {"variable": "output", "output_label": "label", "output_probability": "probabilities"}


def complete(
    made: Path,
    example: Inputs,
    inputs: Sequence[str],
    outputs: Sequence[str],
    answers: Arrays,
    shapes: Sequence[Shape],
    lengths: Lengths,
) -> Path:
    """Bring what a framework's exporter wrote into the course's form, check it, and return where it is now.

    ``shapes`` are those of the model's own outputs: outputs that it does not give are dropped, and
    what exporters say of the others' axes is replaced.
    """
    import onnx

    model = onnx.load(made)
    replace_known_gaps(model)
    expect_known_operators(model)
    del model.graph.output[len(shapes) :]
    _expect_inputs(model, example)
    for place, value in enumerate(model_inputs(model)):
        names = {0: "batch"} | lengths.get(place, {})
        _set_shape(value, [names.get(axis, size) for axis, size in enumerate(example[place].shape)])
    for value, answer, shape in zip(model.graph.output, answers, shapes, strict=False):
        _set_shape(value, _declared(value, shape))
        _set_type(model, value, answer.dtype)
    rename(model, model_inputs(model), inputs or example.names, "input")
    rename(model, list(model.graph.output), outputs, "output")
    del model.graph.value_info[:]  # shapes between the steps, with the exporter's names for the axes
    large = model.ByteSize() > LARGEST_SINGLE_FILE
    folder = made.parent / "complete"
    folder.mkdir()
    done = folder / made.name
    onnx.save(model, done, save_as_external_data=large, location=f"{made.name}.data")
    try:
        onnx.checker.check_model(done, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        said = next(iter(str(error).strip().splitlines()), "")[:200]
        raise ConversionError(
            f"The converter wrote a file that is not valid: {said}",
            "pass a float32 example: most converters are made for that type."
            if any(array.dtype == np.float64 for array in example)
            else "report the model: its converter is at fault.",
        ) from error
    return done


def free_axes(done: Path, axes: set[tuple[str, int]]) -> None:
    """Declare that these axes of outputs may have any size."""
    import onnx

    if not axes:
        return
    model = onnx.load(done, load_external_data=False)
    for value in model.graph.output:
        for place, axis in enumerate(value.type.tensor_type.shape.dim):
            if (value.name, place) in axes:
                axis.dim_param = f"{value.name}_{place}"
    onnx.save(model, done)


def publish(done: Path, path: Path) -> None:
    """Put a finished file, and the weights beside it if there are any, where they belong."""
    weights = done.with_name(f"{done.name}.data")
    if weights.exists():
        weights.replace(path.with_name(weights.name))
    done.replace(path)


def replace_known_gaps(model: "onnx.ModelProto") -> None:
    """Write operators that an exporter left as they were with those that ONNX has: erfc(x) is 1 - erf(x)."""
    import onnx

    for node in list(model.graph.node):
        if node.op_type == "Erfc" and not node.domain:
            place = list(model.graph.node).index(node)
            kind = _element_type(model, node.input[0])
            one, inner = f"{node.output[0]}_one", f"{node.output[0]}_erf"
            model.graph.initializer.append(onnx.helper.make_tensor(one, kind, [], [1.0]))
            steps = [
                onnx.helper.make_node("Erf", [node.input[0]], [inner]),
                onnx.helper.make_node("Sub", [one, inner], [node.output[0]]),
            ]
            model.graph.node.remove(node)
            for offset, step in enumerate(steps):
                model.graph.node.insert(place + offset, step)


def _element_type(model: "onnx.ModelProto", name: str) -> int:
    import onnx

    known = {value.name: value for value in (*model.graph.value_info, *model.graph.input)}
    return known[name].type.tensor_type.elem_type if name in known else int(onnx.TensorProto.FLOAT)


def _expect_inputs(model: "onnx.ModelProto", example: Inputs) -> None:
    """The file takes what the example has, no more and no less, in the same order."""
    found = model_inputs(model)
    names = [value.name for value in found]
    if len(found) != len(example):
        raise ConversionError(
            f"The file takes {len(found)} inputs ({', '.join(names)}), the example has {len(example)}.",
            "use every input in the model: one that decides nothing is left out of the file."
            if len(found) < len(example)
            else "report the model: its converter left numbers of the model outside of the file.",
        )
    if example.names and set(example.names) == set(names):
        ordered = sorted(found, key=lambda value: example.names.index(value.name))
        weights = [value for value in model.graph.input if value.name not in names]
        del model.graph.input[:]
        model.graph.input.extend([*ordered, *weights])


def _set_shape(value: "onnx.ValueInfoProto", shape: Sequence[int | str]) -> None:
    dims = value.type.tensor_type.shape.dim
    del dims[:]
    value.type.tensor_type.shape.SetInParent()
    for size in shape:
        axis = dims.add()
        if isinstance(size, str):
            axis.dim_param = size
        else:
            axis.dim_value = size


def _set_type(model: "onnx.ModelProto", value: "onnx.ValueInfoProto", dtype: "np.dtype[Any]") -> None:
    """Cast an output to the model's own kind of number: a truth, a whole number, or one with a fraction."""
    import onnx

    found = value.type.tensor_type.elem_type
    if not found or found == onnx.TensorProto.STRING or dtype.kind not in "fiub":
        return
    kind = onnx.helper.tensor_dtype_to_np_dtype(found).kind
    if kind in {"f": "fV", "i": "iu", "u": "iu"}.get(dtype.kind, dtype.kind):
        return
    to = tensor_type({"f": np.float32, "b": np.bool_}.get(dtype.kind, np.int64))
    inner = f"{value.name}_before_cast"
    for node in model.graph.node:
        node.input[:] = [inner if name == value.name else name for name in node.input]
        node.output[:] = [inner if name == value.name else name for name in node.output]
    model.graph.node.append(onnx.helper.make_node("Cast", [inner], [value.name], to=to))
    value.type.tensor_type.elem_type = to


def _declared(value: "onnx.ValueInfoProto", shape: Shape) -> Shape:
    """The model's own shape; a column of one number stays, where the converter writes (n, 1) for (n,)."""
    axes = len(value.type.tensor_type.shape.dim)
    return (*shape, 1) if axes == 2 and len(shape) == 1 else shape


def save(model: "onnx.ModelProto", path: Path, outputs: Sequence[str] = ()) -> None:
    """What a converter's ``write`` ends with. Without names for the outputs, the plainer ones are taken."""
    import onnx

    values = list(model.graph.output)
    rename(model, values, outputs or [PLAINER.get(value.name, value.name) for value in values], "output")
    onnx.save(model, path)


def expect_known_operators(model: "onnx.ModelProto") -> None:
    """Refuse a file that nobody can run: some exporters write what they did not understand as it was."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    own = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        if (node.domain, node.op_type) not in own and not _exists(node, versions):
            raise ConversionError(
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


def rename(model: "onnx.ModelProto", values: "Sequence[onnx.ValueInfoProto]", new: Sequence[str], what: str) -> None:
    """Give tensors new names wherever they occur."""
    if not new:
        return
    old = [value.name for value in values]
    if len(new) != len(old):
        raise ConversionError(
            f"{len(new)} names for {len(old)} {what}s ({', '.join(old)}).", "name each of them, in order."
        )
    names = dict(zip(old, new, strict=True))
    others = {value.name for value in (*model_inputs(model), *model.graph.output)} - set(old)
    clash = sorted(set(new) & others) or [name for name in new if new.count(name) > 1]
    if clash:
        raise ConversionError(f"Two tensors would be called {clash[0]!r}.", f"choose another name for the {what}.")
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


def numbered(name: str, count: int) -> list[str]:
    """output, or output_0 and output_1."""
    return [name] if count == 1 else [f"{name}_{place}" for place in range(count)]
