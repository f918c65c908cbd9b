"""What an optimiser did, as a table and a picture: on graphs whose answer is known."""

import re
from pathlib import Path

import onnx
import pytest

from helpers.classroom import fusion_picture, fusion_table, graph_picture
from helpers.classroom.fusion_views import LONGEST_NAME, ROWS_A_COLUMN, _columns, _groups, short_name
from helpers.convert import Became, Comparison, read_graph
from helpers.convert.graph import Node, Value

TINY = """<ir_version: 10, opset_import: ["": 20]>
tiny (float[n, 4] x) => (float[n, 4] y)
<float two = {2.0}>
{
    scaled = Mul (x, two)
    made = Relu (scaled)
    y = Add (made, x)
}"""


def node(operator: str, name: str = "", domain: str = "") -> Node:
    return Node(name, operator, domain, (), (), (Value(f"{name}_made", "float32", None),), {})


def network(blocks: int = 1) -> Comparison:
    """Blocks of a fused pair, a step that was kept, one that was replaced and one that was added."""
    steps = []
    for number in range(blocks):
        pair = node("Conv", f"/layer{number}/conv/Conv"), node("Relu", f"/layer{number}/relu/Relu")
        pool = node("MaxPool", f"/layer{number}/pool/MaxPool")
        steps += [
            Became(node("FusedConv", f"f{number}", "com.microsoft"), pair),
            Became(node("Gemm", f"g{number}"), (node("Gemm", f"g{number}"),)),
            Became(node("MaxPool", f"p{number}", "com.microsoft.nchwc"), (pool,)),
            Became(node("ReorderOutput", f"r{number}", "com.microsoft.nchwc"), ()),
        ]
    return Comparison(tuple(steps), (node("Identity"), node("Identity")), (node("Exp", "/dead/Exp"),))


def test_the_table_has_a_row_for_each_step_and_for_what_went() -> None:
    table = fusion_table(network())
    assert table.columns == ["begins at", "before", "what happened", "step", "after"]
    assert table.rows == [
        ["layer0/conv", "Conv + Relu", "fused", "1", "FusedConv"],
        ["g0", "Gemm", "kept", "2", "Gemm"],
        ["layer0/pool", "MaxPool", "replaced", "3", "MaxPool (blocked)"],
        ["", "", "added", "4", "ReorderOutput (blocked)"],
        ["", "Identity × 2", "computed beforehand", "", ""],
        ["", "Exp", "removed", "", ""],
    ]
    assert table.caption == "7 steps became 4"


def test_a_part_keeps_its_numbers_and_says_that_it_is_one() -> None:
    table = fusion_table(network(3), slice(4, 6))
    assert [row[3] for row in table.rows] == ["5", "6"]
    assert table.caption == "15 steps became 12; here are 5 to 6 of the 12"
    assert fusion_table(network(3), slice(-2, None)).caption.endswith("here are 11 to 12 of the 12")


def test_a_picture_says_in_words_what_it_shows() -> None:
    picture = fusion_picture(network(2))
    assert picture.png.startswith(b"\x89PNG")
    assert picture.alt == (
        "11 steps became 8. 2 times Conv + Relu became FusedConv. 2 times MaxPool became MaxPool (blocked). "
        "2 times ReorderOutput (blocked) was added. Identity × 2: computed beforehand. Exp: removed"
    )
    kept = Comparison((Became(node("Gemm", "g"), (node("Gemm", "g"),)),), (), ())
    assert fusion_picture(kept).alt == "1 step became 1. All were kept"


def test_kinds_differ_without_colour() -> None:
    from helpers.classroom.fusion_views import LOOKS

    seen = [(looks.get("hatch"), looks.get("linestyle"), looks["linewidth"]) for looks in LOOKS.values()]
    assert len(set(seen)) == len(LOOKS)


@pytest.mark.parametrize("blocks", [1, 8, 20])
def test_a_long_graph_goes_on_in_another_column(blocks: int) -> None:
    groups = list(_groups(network(blocks), None))
    columns = _columns(groups)
    assert [group for column in columns for group in column] == groups
    assert all(sum(group.rows for group in column) <= ROWS_A_COLUMN + 2 for column in columns)
    assert len(columns) <= -(-sum(group.rows for group in groups) // ROWS_A_COLUMN) + 1


def test_names_are_cut_where_they_are_alike() -> None:
    assert short_name(node("Conv", "/layer1/layer1.0/conv1/Conv")) == "layer1.0/conv1"
    assert short_name(node("Relu", "/layer1/layer1.0/relu/Relu_1")) == "layer1.0/relu"
    assert short_name(node("Conv", "/Conv")) == "Conv" and short_name(node("Conv")) == ""
    long = short_name(node("Conv", "a" * 100 + "end"))
    assert len(long) == LONGEST_NAME and long.startswith("…") and long.endswith("end")


def test_a_small_graph_is_drawn_with_who_reads_whom(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(TINY), tmp_path / "tiny.onnx")
    picture = graph_picture(tmp_path / "tiny.onnx")
    assert picture.png.startswith(b"\x89PNG")
    assert picture.alt == "A graph of 3 steps: scaled = Mul(x, two); made = Relu(scaled); y = Add(made, x)."


def test_a_step_stands_to_the_right_of_what_it_reads(tmp_path: Path) -> None:
    from helpers.classroom.fusion_views import _spots

    onnx.save(onnx.parser.parse_model(TINY), tmp_path / "tiny.onnx")
    graph = read_graph(tmp_path / "tiny.onnx")
    spots = _spots(graph)
    assert len(set(spots.values())) == len(spots)
    for step in graph.nodes:
        assert all(spots[name][0] < spots[step.makes[0].name][0] for name in step.reads)
    assert max(spots, key=lambda name: spots[name][0]) == "y "


def test_the_example_of_the_module_is_exported() -> None:
    from helpers import classroom

    text = Path(classroom.__file__).with_name("fusion_views.py").read_text("utf-8")
    shown = re.findall(r"^def ([a-z]\w+_(?:picture|table))\(", text, re.MULTILINE)
    assert set(shown) == {name for name, home in classroom.HOMES.items() if home == "fusion_views"}
