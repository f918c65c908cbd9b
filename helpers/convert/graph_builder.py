"""A small graph, written operator by operator."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.convert.errors import ConversionError
from helpers.convert.inputs import Inputs

if TYPE_CHECKING:
    import onnx

# ONNX Runtime reads these since 2023; skl2onnx and onnxscript write the same.
OPSETS = {"": 18, "ai.onnx.ml": 3}

Axes = Sequence[int | str]


class GraphBuilder:
    """Collects nodes and constants; each method returns the name of the tensor that it adds.

    >>> builder = GraphBuilder()                                            # doctest: +SKIP
    >>> rows = builder.input("rows", np.float32, ("batch", 3))              # doctest: +SKIP
    >>> builder.output("doubled", builder.add("Add", rows, rows), np.float32, ("batch", 3))  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, dtype: Any, shape: Axes) -> str:
        self._inputs.append(value_info(name, dtype, shape))
        return name

    def output(self, name: str, tensor: str, dtype: Any, shape: Axes) -> None:
        """Name a tensor as an output of the graph."""
        self._outputs.append(value_info(name, dtype, shape))
        self.add("Identity", tensor, to=name)

    def constant(self, values: ArrayLike, dtype: Any = None) -> str:
        import onnx

        array: NDArray[Any] = np.asarray(values, dtype)
        name = self._name("constant")
        if array.dtype.kind in "OU":
            text = [str(value).encode() for value in array.reshape(-1)]
            self._constants.append(onnx.helper.make_tensor(name, onnx.TensorProto.STRING, array.shape, text))
        else:
            self._constants.append(onnx.numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, to: str = "", domain: str = "", **attributes: Any) -> str:
        import onnx

        to = to or self._name(operator.lower())
        self._nodes.append(
            onnx.helper.make_node(operator, inputs, [to], name=self._name("node"), domain=domain, **attributes)
        )
        return to

    def cast(self, tensor: str, dtype: Any) -> str:
        import onnx

        to = self._name("cast")
        self._nodes.append(
            onnx.helper.make_node("Cast", [tensor], [to], name=self._name("node"), to=tensor_type(dtype))
        )
        return to

    def model(self, name: str) -> "onnx.ModelProto":
        import onnx

        graph = onnx.helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants)
        opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="servelab")

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"


def value_info(name: str, dtype: Any, shape: Axes) -> "onnx.ValueInfoProto":
    import onnx

    return onnx.helper.make_tensor_value_info(name, tensor_type(dtype), list(shape))


def tensor_type(dtype: Any) -> int:
    """ONNX's number of a numpy type; text of any length is a string."""
    import onnx

    dtype = np.dtype(dtype)
    if dtype.kind in "OUS":
        return int(onnx.TensorProto.STRING)
    return int(onnx.helper.np_dtype_to_tensor_dtype(dtype))


def with_columns(model: "onnx.ModelProto", columns: Inputs) -> "onnx.ModelProto":
    """The same model with an input for each column in place of its one table of float32."""
    import onnx

    (table,) = model.graph.input
    nodes, parts, values = [], [], []
    for place, (name, array) in enumerate(zip(columns.names, columns, strict=True)):
        if array.dtype.kind == "O":
            raise ConversionError(
                f"The column {name!r} is text; {model.graph.name} takes numbers.",
                "turn text into numbers in a pipeline, such as with OrdinalEncoder, and convert the pipeline.",
            )
        values.append(value_info(name, array.dtype, ("batch", 1)))
        parts.append(f"column_{place}_as_float")
        cast = onnx.helper.make_node("Cast", [name], parts[-1:], name=f"cast_{place}", to=onnx.TensorProto.FLOAT)
        nodes.append(cast)
    nodes.append(onnx.helper.make_node("Concat", parts, [table.name], name="columns", axis=1))
    rest = list(model.graph.node)
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend([*nodes, *rest])
    model.graph.input.extend(values)
    return model
