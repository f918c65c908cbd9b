"""From a framework's model to ONNX, and what is inside the file that comes out."""

from helpers.convert.graph import Graph, read_graph
from helpers.convert.parity import Parity, parity
from helpers.convert.quietly import quietly

__all__ = ["Graph", "Parity", "parity", "quietly", "read_graph"]
