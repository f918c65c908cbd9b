"""Graphs drawn: a small one as boxes and arrows, and what an optimiser did to one, step by step.

>>> graph_picture("small.onnx")                               # doctest: +SKIP
>>> comparison = compare_graphs("before.onnx", "after.onnx")  # doctest: +SKIP
>>> fusion_picture(comparison, part=slice(0, 8))              # doctest: +SKIP
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.classroom.pictures import Picture
from helpers.classroom.tables import Table

if TYPE_CHECKING:
    from helpers.convert import Became, Comparison
    from helpers.convert.graph import Graph, Node

LONGEST_NAME = 24
BOX_HOLDS = 30  # characters of an operator and its name
ROWS_A_COLUMN = 30
FOLDED, REMOVED = "computed beforehand", "removed"
# A kind is told by its hatch and outline, and in words in the legend; colour only helps.
LOOKS: dict[str, dict[str, Any]] = {
    "fused": {"facecolor": "#bbdefb", "edgecolor": "#0d47a1", "linewidth": 1.6, "hatch": "///"},
    "replaced": {"facecolor": "#fff3e0", "edgecolor": "#e65100", "linewidth": 1.4, "linestyle": "--"},
    "added": {"facecolor": "#f3e5f5", "edgecolor": "#4a148c", "linewidth": 1.4, "hatch": "..."},
    "kept": {"facecolor": "white", "edgecolor": "#555555", "linewidth": 0.9},
    "gone": {"facecolor": "#eeeeee", "edgecolor": "#777777", "linewidth": 0.9, "linestyle": ":"},
}


@dataclass(frozen=True)
class _Group:
    """Boxes on the left that belong to one box, or a word, on the right."""

    before: list[tuple[str, str]]
    after: str
    kind: str
    number: str

    @property
    def rows(self) -> int:
        return max(1, len(self.before))


def graph_picture(path: Path | str) -> Picture:
    """A graph of a dozen steps or fewer: each a box, each tensor an arrow from who makes it to who reads it."""
    import matplotlib.pyplot as plt

    from helpers.convert import read_graph

    graph = read_graph(path)
    spots = _spots(graph)
    wide, high = (max(spot[axis] for spot in spots.values()) + 1 for axis in (0, 1))
    figure, place = plt.subplots(figsize=(1.7 * wide, 0.4 + 0.95 * high))
    place.set(xlim=(-0.5, wide - 0.5), ylim=(high - 0.4, -0.6))
    place.axis("off")
    box = {"boxstyle": "round,pad=0.4", "facecolor": "#e3f2fd", "edgecolor": "#0d47a1"}
    rim = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "#555555", "linestyle": "--"}
    for value in graph.inputs:
        place.text(*spots[value.name], value.name, ha="center", va="center", bbox=rim, zorder=3)
    said = []
    for node in graph.nodes:
        made = node.makes[0].name
        weights = ", ".join(weight.name for weight in node.weights)
        text = node.operator + (f"\n({weights})" if weights else "")
        place.text(*spots[made], text, ha="center", va="center", bbox=box, zorder=3, fontsize=9)
        for reads in dict.fromkeys(node.reads):
            _arrow(place, spots[reads], spots[made], reads)
        said.append(f"{made} = {node.operator}({', '.join((*node.reads, *(w.name for w in node.weights)))})")
    for value in graph.outputs:
        place.text(*spots[f"{value.name} "], value.name, ha="center", va="center", bbox=rim, zorder=3)
        _arrow(place, spots[value.name], spots[f"{value.name} "], value.name)
    return Picture(figure, alt=f"A graph of {len(graph.nodes)} steps: {'; '.join(said)}.")


def fusion_table(comparison: "Comparison", part: slice | None = None) -> Table:
    """One row a step of the later graph, with the earlier steps whose work it does."""
    rows: list[list[str]] = []
    for group in _groups(comparison, part):
        where = group.before[0][1] if group.before else ""
        rows.append([where, _sum(group), group.kind, group.number, group.after])
    columns = ["begins at", "before", "what happened", "step", "after"]
    return Table(columns, rows, _caption(comparison, part))


def fusion_picture(comparison: "Comparison", part: slice | None = None) -> Picture:
    """Before on the left, after on the right; a bracket joins what became one step.

    ``part`` picks steps of the later graph, by their place; a picture of more than about
    thirty rows goes on in a further column.
    """
    import matplotlib.pyplot as plt

    columns = _columns(list(_groups(comparison, part)))
    tallest = max(sum(group.rows for group in column) for column in columns)
    figure, places = plt.subplots(
        1, len(columns), figsize=(8.2 * max(1.0, len(columns) * 0.72), 0.9 + 0.36 * tallest), squeeze=False
    )
    for place, column in zip(places[0], columns, strict=True):
        _draw_column(place, column, tallest)
    kinds = {group.kind if group.kind in LOOKS else "gone" for column in columns for group in column}
    shown = {"gone": f"{FOLDED}, or removed"}
    patches = [
        plt.Rectangle((0, 0), 1, 1, label=shown.get(kind, kind), **LOOKS[kind]) for kind in LOOKS if kind in kinds
    ]
    figure.legend(handles=patches, loc="lower center", ncol=5, frameon=False, fontsize=9, handleheight=1.4)
    figure.subplots_adjust(bottom=0.5 / (0.9 + 0.36 * tallest), top=0.99, left=0.01, right=0.99, wspace=0.02)
    return Picture(figure, alt=f"{_caption(comparison, part)}. {_in_words(comparison, part)}")


def short_name(node: "Node", most: int = LONGEST_NAME) -> str:
    """The end of a step's name, where names differ, without the operator that exporters add to it."""
    parts = [part for part in node.name.split("/") if part]
    if len(parts) > 1 and parts[-1].startswith(node.operator):
        parts.pop()
    name = "/".join(parts[-2:])
    return name if len(name) <= most else "…" + name[1 - most :]


def _spots(graph: "Graph") -> dict[str, tuple[float, float]]:
    """Where what makes a tensor is drawn: a step stands to the right of all that it reads from."""
    depth = {value.name: 0 for value in graph.inputs}
    for node in graph.nodes:
        depth[node.makes[0].name] = 1 + max((depth[name] for name in node.reads), default=-1)
    taken: Counter[int] = Counter()
    spots = {}
    for name, column in depth.items():
        spots[name] = (float(column), float(taken[column]))
        taken[column] += 1
    last = float(max(depth.values()) + 1)
    return spots | {f"{value.name} ": (last, spots[value.name][1]) for value in graph.outputs}


def _arrow(place: Any, start: tuple[float, float], end: tuple[float, float], name: str) -> None:
    arrow = {"arrowstyle": "->", "shrinkA": 0, "shrinkB": 26}
    place.annotate("", end, start, arrowprops=arrow, zorder=1)
    across, down = (end[axis] - start[axis] for axis in (0, 1))
    share = 0.5 if down == 0 else 0.4  # off the middle, where arrows cross
    label = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    spot = start[0] + share * across, start[1] + share * down
    place.text(*spot, name, ha="center", va="center", fontsize=8, style="italic", bbox=label, zorder=2)


def _groups(comparison: "Comparison", part: slice | None) -> Iterator[_Group]:
    numbered = list(enumerate(comparison.steps, start=1))
    for number, step in numbered[part] if part else numbered:
        before = [(node.operator, short_name(node)) for node in step.before]
        yield _Group(before, _called(step), step.kind, str(number))
    if part is None:
        for kind, nodes in ((FOLDED, comparison.folded), (REMOVED, comparison.removed)):
            for operator, count in Counter(node.operator for node in nodes).items():
                yield _Group([(_times(operator, count), "")], "", kind, "")


def _sum(group: _Group) -> str:
    return " + ".join(operator for operator, _ in group.before)


def _called(step: "Became") -> str:
    return step.after.operator + (" (blocked)" if step.after.domain.endswith("nchwc") else "")


def _times(operator: str, count: int) -> str:
    return operator if count == 1 else f"{operator} × {count}"


def _caption(comparison: "Comparison", part: slice | None) -> str:
    after = len(comparison.steps)
    before = sum(len(step.before) for step in comparison.steps) + len(comparison.folded) + len(comparison.removed)
    whole = f"{before} step{'s' * (before != 1)} became {after}"
    if part is None:
        return whole
    first, last, _ = part.indices(after)
    return f"{whole}; here are {first + 1} to {last} of the {after}"


def _in_words(comparison: "Comparison", part: slice | None) -> str:
    """What the picture shows beyond what was kept, equal things counted."""
    said: Counter[str] = Counter()
    for group in _groups(comparison, part):
        if group.kind == "kept":
            continue
        if group.kind not in LOOKS:
            said[f"{_sum(group)}: {group.kind}"] += 1
        elif group.before:
            said[f"{_sum(group)} became {group.after}"] += 1
        else:
            said[f"{group.after} was added"] += 1
    return ". ".join(f"{count} times {text}" if count > 1 else text for text, count in said.items()) or "All were kept"


def _columns(groups: Sequence[_Group]) -> list[list[_Group]]:
    """The groups in as few columns as hold them, none of them cut."""
    rows = sum(group.rows for group in groups)
    most = -(-rows // max(1, -(-rows // ROWS_A_COLUMN))) + 2
    columns: list[list[_Group]] = [[]]
    for group in groups:
        if columns[-1] and sum(other.rows for other in columns[-1]) + group.rows > most:
            columns.append([])
        columns[-1].append(group)
    return columns


def _draw_column(place: Any, groups: Sequence[_Group], tallest: int) -> None:
    place.set(xlim=(0, 10), ylim=(tallest, -1))
    place.axis("off")
    for middle, heading in ((2.2, "before"), (7.6, "after")):
        place.text(middle, -0.5, heading, ha="center", va="center", fontsize=10, fontweight="bold")
    top = 0
    for group in groups:
        stays = group.kind in LOOKS
        looks = LOOKS[group.kind if stays else "gone"]
        middle, right = top + group.rows / 2, 4.15
        for row, (operator, name) in enumerate(group.before):
            _draw_box(place, (0.3, top + row), 3.8, operator, name, looks)
        if len(group.before) > 1:
            low, high, right = top + 0.2, top + group.rows - 0.2, 4.5
            place.plot([4.25, right, right, 4.25], [low, low, high, high], color="black")
        if group.before:
            arrow = {"arrowstyle": "->", "linestyle": "-" if stays else ":"}
            place.annotate("", (5.45, middle), (right, middle), arrowprops=arrow)
        if stays:
            _draw_box(place, (5.5, middle - 0.5), 4.2, f"{group.number}  {group.after}", None, looks)
        else:
            place.text(5.6, middle, group.kind, va="center", fontsize=8.5, style="italic")
        top += group.rows


def _draw_box(
    place: Any, corner: tuple[float, float], wide: float, text: str, name: str | None, looks: dict[str, Any]
) -> None:
    from matplotlib.patches import Rectangle

    left, top = corner
    outline = {key: value for key, value in looks.items() if key != "hatch"}
    place.add_patch(Rectangle((left, top + 0.1), wide, 0.8, **outline))
    if "hatch" in looks:  # a strip of it, beside the words
        place.add_patch(Rectangle((left, top + 0.1), 0.35, 0.8, **looks))
    place.text(left + 0.5, top + 0.52, text, va="center", fontsize=8.5, fontweight="bold" if name is None else "normal")
    if name and len(text) + len(name) <= BOX_HOLDS:
        place.text(left + wide - 0.1, top + 0.54, name, va="center", ha="right", fontsize=6.5, color="#444444")
