"""From a framework's model to ONNX, and what is inside the file that comes out.

>>> to_onnx(model, example, "digits.onnx")                       # doctest: +SKIP
>>> print(parity(model, "digits.onnx", inputs_like(example)))    # doctest: +SKIP
"""

from helpers.convert.comparison import Parity, inputs_like, parity
from helpers.convert.conversion import Converter, from_package, register, to_onnx
from helpers.convert.errors import ConversionError
from helpers.convert.fusion import Became, Comparison, compare_graphs
from helpers.convert.graph import Graph, read_graph
from helpers.convert.silence import quietly

__all__ = [
    "Became",
    "Comparison",
    "ConversionError",
    "Converter",
    "Graph",
    "Parity",
    "compare_graphs",
    "from_package",
    "inputs_like",
    "parity",
    "quietly",
    "read_graph",
    "register",
    "to_onnx",
]
