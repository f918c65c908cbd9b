"""From a framework's model to ONNX, and what is inside the file that comes out."""

from helpers.convert.graph import Graph, read_graph
from helpers.convert.parity import Parity, parity

__all__ = ["Graph", "Parity", "parity", "read_graph"]
