"""A model's graph as a table: what Netron draws, for reading, printing and screen readers."""

from pathlib import Path

from helpers.classroom.tables import Table
from helpers.convert.graph import read_graph, shape_text


def graph_table(path: Path | str) -> Table:
    """One row a step, in the order in which the runtime takes them."""
    graph = read_graph(path)
    rows = []
    for number, node in enumerate(graph.nodes, start=1):
        weights = ", ".join(shape_text(weight.shape) for weight in node.weights)
        makes = ", ".join(f"{value.name} {shape_text(value.shape)}" for value in node.makes)
        rows.append([number, node.operator, ", ".join(node.reads), weights or "none", makes])
    inputs, outputs = (" and ".join(map(str, values)) for values in (graph.inputs, graph.outputs))
    caption = (
        f"{Path(path).name}: {inputs} in, {outputs} out; "
        f"{len(graph.nodes)} steps, {graph.weight_count:,} weights, opset {graph.opset}"
    )
    return Table(["step", "operator", "reads", "weights", "makes"], rows, caption)
