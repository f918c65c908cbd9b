"""What is inside an ONNX file: its inputs and outputs, its operators in order, its weights."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.errors import UserError

if TYPE_CHECKING:
    import onnx

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Value:
    """A tensor by name: an axis is a number if it is fixed, and a name if it is dynamic."""

    name: str
    dtype: str
    shape: Shape | None

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} {shape_text(self.shape)}"


@dataclass(frozen=True)
class Node:
    """One step of the computation. ``domain`` is empty for ONNX's own operators."""

    name: str
    operator: str
    domain: str
    reads: tuple[str, ...]
    weights: tuple[Value, ...]
    makes: tuple[Value, ...]
    attributes: dict[str, object]


@dataclass(frozen=True)
class Graph:
    """An ONNX model as a list of steps."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    opset: int
    producer: str
    weight_count: int
    weight_bytes: int
    files: dict[str, int]

    def operators(self) -> Counter[str]:
        """How often each operator occurs."""
        return Counter(node.operator for node in self.nodes)


def read_graph(path: Path | str) -> Graph:
    """Read a model's graph; the weights are counted and not kept."""
    import onnx

    path = Path(path)
    model = load(path)
    external = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    values = _values(onnx.shape_inference.infer_shapes(model))
    numbers = [*map(_count_and_size, weights.values()), *_numbers_in_attributes(model)]
    sizes = {path.name: path.stat().st_size}
    sizes |= {name: (path.parent / name).stat().st_size for name in sorted(external) if (path.parent / name).exists()}
    return Graph(
        inputs=tuple(values[value.name] for value in model.graph.input if value.name not in weights),
        outputs=tuple(values[value.name] for value in model.graph.output),
        nodes=tuple(_node(node, weights, values) for node in model.graph.node),
        opset=_opset(model),
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        weight_count=sum(count for count, _ in numbers),
        weight_bytes=sum(count * size for count, size in numbers),
        files=sizes,
    )


def load(path: Path) -> "onnx.ModelProto":
    """The model without its external weights, or one sentence about why it cannot be read."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.", "run the export first, or check the name.") from None
    except DecodeError:
        raise UserError(f"{path} is not an ONNX model, or it was cut short.", "export it again.") from None
    if not model.graph.node and not model.graph.output:
        raise UserError(f"{path} is not an ONNX model: it holds no graph.", "export it again.")
    return model


def shape_text(shape: Shape | None) -> str:
    """(batch, 1, 8, 8), or "of any shape"."""
    return "of any shape" if shape is None else f"({', '.join(map(str, shape))})"


def _node(node: "onnx.NodeProto", weights: "dict[str, onnx.TensorProto]", values: dict[str, Value]) -> Node:
    return Node(
        name=node.name,
        operator=node.op_type,
        domain=node.domain,
        reads=tuple(name for name in node.input if name and name not in weights),
        weights=tuple(_weight(weights[name]) for name in node.input if name in weights),
        makes=tuple(values.get(name, Value(name, "?", None)) for name in node.output if name),
        attributes=dict(_settings(node)),
    )


def _settings(node: "onnx.NodeProto") -> Iterator[tuple[str, object]]:
    """Numbers, words and short lists, such as a kernel's shape; not what the step carries as weights."""
    import onnx

    for attribute in node.attribute:
        if attribute.HasField("t") or attribute.HasField("g") or attribute.graphs:
            continue
        value = onnx.helper.get_attribute_value(attribute)
        if not isinstance(value, (list, tuple)) or len(value) <= 8:
            yield attribute.name, value.decode() if isinstance(value, bytes) else value


def _values(model: "onnx.ModelProto") -> dict[str, Value]:
    graph = model.graph
    return {value.name: _value(value) for value in (*graph.input, *graph.value_info, *graph.output)}


def _value(info: "onnx.ValueInfoProto") -> Value:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return Value(info.name, _dtype(tensor.elem_type), None)
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?" for axis in tensor.shape.dim)
    return Value(info.name, _dtype(tensor.elem_type), shape)


def _weight(tensor: "onnx.TensorProto") -> Value:
    return Value(tensor.name, _dtype(tensor.data_type), tuple(tensor.dims))


def _dtype(code: int) -> str:
    """numpy's name for an ONNX type: float32, and not FLOAT."""
    import onnx

    return str(onnx.helper.tensor_dtype_to_np_dtype(code)) if code else "?"


def _opset(model: "onnx.ModelProto") -> int:
    """The version of ONNX's own operators; of its second set, where only that is used (trees, scalers)."""
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    return int(versions.get("ai.onnx", next(iter(versions.values()), 0)))


def _count_and_size(tensor: "onnx.TensorProto") -> tuple[int, int]:
    """How many numbers a tensor holds, and the bytes of each."""
    import onnx

    return math.prod(tensor.dims), int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _numbers_in_attributes(model: "onnx.ModelProto") -> Iterator[tuple[int, int]]:
    """Trees, scalers and linear models of scikit-learn's kind carry their numbers in the step itself."""
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield _count_and_size(attribute.t)
            elif attribute.floats:
                yield len(attribute.floats), 4
