"""What is inside an ONNX file: its inputs and outputs, its operators in order, its weights."""

import math
from collections import Counter
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
    """One step of the computation."""

    operator: str
    reads: tuple[str, ...]
    weights: tuple[Value, ...]
    makes: tuple[Value, ...]


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
    sizes = {path.name: path.stat().st_size}
    sizes |= {name: (path.parent / name).stat().st_size for name in sorted(external) if (path.parent / name).exists()}
    return Graph(
        inputs=tuple(values[value.name] for value in model.graph.input if value.name not in weights),
        outputs=tuple(values[value.name] for value in model.graph.output),
        nodes=tuple(_node(node, weights, values) for node in model.graph.node),
        opset=next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        weight_count=sum(_count(tensor) for tensor in weights.values()),
        weight_bytes=sum(_count(tensor) * _item_bytes(tensor.data_type) for tensor in weights.values()),
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
        operator=node.op_type,
        reads=tuple(name for name in node.input if name and name not in weights),
        weights=tuple(_weight(weights[name]) for name in node.input if name in weights),
        makes=tuple(values.get(name, Value(name, "?", None)) for name in node.output if name),
    )


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


def _count(tensor: "onnx.TensorProto") -> int:
    return math.prod(tensor.dims)


def _item_bytes(code: int) -> int:
    import onnx

    return int(onnx.helper.tensor_dtype_to_np_dtype(code).itemsize)
