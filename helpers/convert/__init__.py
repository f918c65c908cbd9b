"""From a framework's model to ONNX, and what is inside the file that comes out."""

from helpers.convert.comparison import Parity, parity
from helpers.convert.graph import Graph, read_graph
from helpers.convert.silence import quietly

__all__ = ["Graph", "Parity", "parity", "quietly", "read_graph"]
