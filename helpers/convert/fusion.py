"""Two graphs of one model, before and after an optimiser: which steps became which.

An optimiser leaves the tensors that it does not touch under their names. A step of the
later graph that makes the tensor T therefore stands for all earlier steps that lead to T
and that no step before it stands for.
"""

from dataclasses import dataclass
from pathlib import Path

from helpers.convert.graph import Graph, Node, read_graph

# ONNX Runtime calls a step in its blocked layout after the tensor that it made before.
BLOCKED = "_nchwc"


@dataclass(frozen=True)
class Became:
    """A step of the later graph, and the earlier steps whose work it does."""

    after: Node
    before: tuple[Node, ...]

    @property
    def kind(self) -> str:
        """kept, replaced (by another operator), fused (of several) or added."""
        if not self.before:
            return "added"
        if len(self.before) > 1:
            return "fused"
        (only,) = self.before
        same = (only.operator, only.domain) == (self.after.operator, self.after.domain)
        return "kept" if same else "replaced"


@dataclass(frozen=True)
class Comparison:
    """What an optimiser did: ``steps`` in the later graph's order; ``folded`` was computed beforehand.

    ``removed`` did nothing that anyone read.
    """

    steps: tuple[Became, ...]
    folded: tuple[Node, ...]
    removed: tuple[Node, ...]

    @property
    def fused(self) -> tuple[Became, ...]:
        return tuple(step for step in self.steps if step.kind == "fused")

    def __str__(self) -> str:
        before = sum(len(step.before) for step in self.steps) + len(self.folded) + len(self.removed)
        lines = [f"{before} steps became {len(self.steps)}"]
        for step in self.fused:
            blocked = " (blocked layout)" if step.after.domain.endswith("nchwc") else ""
            lines.append(f"  {' + '.join(node.operator for node in step.before)} -> {step.after.operator}{blocked}")
        for what, nodes in (("computed beforehand", self.folded), ("removed", self.removed)):
            if nodes:
                lines.append(f"  {what}: {', '.join(sorted({node.operator for node in nodes}))} ({len(nodes)})")
        return "\n".join(lines)


def compare_graphs(before: Path | str, after: Path | str) -> Comparison:
    """Say which steps of ``before`` each step of ``after`` stands for.

    >>> print(compare_graphs("digits.onnx", "optimised.onnx"))  # doctest: +SKIP
    9 steps became 6
      Conv + Relu -> FusedConv
    """
    old, new = read_graph(before), read_graph(after)
    constant = _constant(old)
    twins = _twins(old, new)
    makers = {value.name: twins.get(_key(node), node) for node in old.nodes for value in node.makes}
    owner: dict[str, int] = {}  # by the name of the first tensor that an earlier step makes
    for place, node in enumerate(new.nodes):
        for tensor in _stands_for(node, old):
            for found in _leading_to(tensor, makers, owner):
                if _key(found) not in constant:
                    owner[_key(found)] = place
    for key, twin in twins.items():
        if _key(twin) in owner:
            owner[key] = owner[_key(twin)]
    owned: dict[int, list[Node]] = {}
    for node in old.nodes:
        if _key(node) in owner:
            owned.setdefault(owner[_key(node)], []).append(node)
    kept = {(node.operator, _key(node)) for node in new.nodes}
    steps = tuple(Became(node, tuple(owned.get(place, ()))) for place, node in enumerate(new.nodes))
    steps = tuple(
        Became(step.after, _same(old, step.after)) if not step.before and _key(step.after) in constant else step
        for step in steps
    )
    gone = [node for node in old.nodes if _key(node) not in owner and (node.operator, _key(node)) not in kept]
    folded = tuple(node for node in gone if _key(node) in constant)
    return Comparison(steps, folded, tuple(node for node in gone if _key(node) not in constant))


def _key(node: Node) -> str:
    return node.makes[0].name if node.makes else node.name


def _stands_for(node: Node, old: Graph) -> list[str]:
    """The earlier names of what a step makes."""
    if not node.name.endswith(BLOCKED):
        return [value.name for value in node.makes]
    tensor = node.name.removesuffix(BLOCKED)
    if node.operator == "Conv" and len(node.reads) > 1:  # it was given a second tensor to add, later than its name
        tensor = _made_from(tensor, "Add", old)
        tensor = _made_from(tensor, str(node.attributes.get("activation", "")), old)
    return [tensor]


def _made_from(tensor: str, operator: str, graph: Graph) -> str:
    """What the operator makes of a tensor; the tensor itself, if no such step reads it."""
    for node in graph.nodes:
        if tensor in node.reads and node.operator == operator:
            return _key(node)
    return tensor


def _leading_to(tensor: str, makers: dict[str, Node], owner: dict[str, int]) -> list[Node]:
    """The steps that lead to a tensor, back to those that have an owner."""
    found, todo = [], [tensor]
    while todo:
        node = makers.get(todo.pop())
        if node is not None and _key(node) not in owner and node not in found:
            found.append(node)
            todo += node.reads
    return found


def _twins(old: Graph, new: Graph) -> dict[str, Node]:
    """Steps that the later graph does without since another computes the same: by key, the one that stays."""
    still_there = {value.name for node in new.nodes for value in node.makes}
    alike: dict[str, list[Node]] = {}
    same_tensor: dict[str, str] = {}
    for node in old.nodes:
        reads = [same_tensor.get(name, name) for name in node.reads]
        if node.operator == "Identity" and reads:
            same_tensor[_key(node)] = reads[0]
            continue
        does = repr(
            (node.operator, node.domain, reads, [w.name for w in node.weights], sorted(node.attributes.items()))
        )
        group = alike.setdefault(does, [])
        group.append(node)
        same_tensor |= {ours.name: theirs.name for ours, theirs in zip(node.makes, group[0].makes, strict=False)}
    twins: dict[str, Node] = {}
    for group in alike.values():
        stays = next((node for node in group if _key(node) in still_there), group[0])
        if "Random" not in stays.operator:
            twins |= {_key(node): stays for node in group if node is not stays and _key(node) not in still_there}
    return twins


def _constant(graph: Graph) -> set[str]:
    """The steps that depend on no input: whoever loads the file can compute them once."""
    varying = {value.name for value in graph.inputs}
    constant = set()
    for node in graph.nodes:
        if varying.intersection(node.reads):
            varying |= {value.name for value in node.makes}
        else:
            constant.add(_key(node))
    return constant


def _same(graph: Graph, wanted: Node) -> tuple[Node, ...]:
    return tuple(node for node in graph.nodes if _key(node) == _key(wanted))
