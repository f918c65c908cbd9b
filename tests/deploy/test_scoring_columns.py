"""Tables with one column for each feature: what fills a model's tensor is found by name, or named, and said."""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from helpers.cli import main
from helpers.deploy.needs import Needs
from helpers.deploy.scoring import Job, Scored, score
from helpers.errors import UserError
from helpers.store import Store
from tests.deploy.test_scoring import quiet
from tests.engine.served import twice_and_sum

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
csv = pytest.importorskip("pyarrow.csv")
pq = pytest.importorskip("pyarrow.parquet")

ROWS = 50
WEIGHTS = np.arange(1, 12, dtype=np.float32) ** 2  # each its own, so that another order gives another answer
DRAWN = np.random.default_rng(3).integers(-9, 9, (ROWS, 11)).astype(np.float32)


def saved(store: Store, name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], kept: list[Any]) -> None:
    graph = helper.make_graph(nodes, name, inputs, outputs, kept)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    store.save(name, model.SerializeToString())


def tensor(name: str, *shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("columns")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVELAB_HOME", str(folder / "lab"))
        store = Store()
        for name, shape in {"ten": (10,), "eleven": (11,), "grid": (2, 5)}.items():
            width = 11 if name == "eleven" else 10
            flat = onnx.numpy_helper.from_array(np.array([-1, width], np.int64), "flat")
            weights = onnx.numpy_helper.from_array(WEIGHTS[:width].reshape(-1, 1), "w")
            nodes = [helper.make_node("Reshape", ["x", "flat"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["y"])]
            saved(store, name, nodes, [tensor("x", "batch", *shape)], [tensor("y", "batch", 1)], [flat, weights])
        nodes = [helper.make_node("Add", ["age (years)", "age (years)"], ["twice"])]
        nodes += [helper.make_node("Identity", ["city"], ["town"])]
        text = tensor("city", "batch", 1, kind=TensorProto.STRING)
        given = [tensor("age (years)", "batch", 1), text]
        answers = [tensor("twice", "batch", 1), tensor("town", "batch", 1, kind=TensorProto.STRING)]
        saved(store, "mixed", nodes, given, answers, [])
        store.save("net", twice_and_sum(folder / "net.onnx"))
        patch.setattr("helpers.deploy.scoring.job.needs.find", lambda named, place: Needs(named, (), {}, {}, {}))
        yield


def table(names: list[str], more: dict[str, Any] | None = None) -> Any:
    columns = {name: DRAWN[:, at].tolist() for at, name in enumerate(names)}
    return pa.table(columns | (more or {}))


def scored(tmp_path: Path, data: Any, target: str = "ten", kind: str = "parquet", **more: Any) -> tuple[Any, list[str]]:
    """The output's columns, and what was said of the mapping."""
    file, said = tmp_path / f"rows.{kind}", list[str]()
    csv.write_csv(data, file) if kind == "csv" else pq.write_table(data, file)
    job = Job(target, file, tmp_path / "out.parquet", batch=16, **more)
    done: Scored = score(job, bar=quiet, say=said.append)
    assert done.rows == len(data)
    return pq.read_table(tmp_path / "out.parquet"), said


def answers(found: Any) -> np.ndarray:
    return np.array(found["y"].to_pylist()).reshape(-1)


def shuffled(names: list[str]) -> list[str]:
    return random.Random(1).sample(names, len(names))


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize(
    ("target", "names", "columns"),
    [
        ("ten", [f"f{at}" for at in range(10)], ()),
        ("ten", [f"feature_{at}" for at in range(1, 11)], ()),
        ("ten", [f"pixel {at:02}" for at in range(10)], ()),
        ("eleven", [f"f{at}" for at in range(11)], ()),
        ("grid", [f"f{at}" for at in range(10)], ()),
        ("ten", [f"x{at}" for at in range(10)], ("x*",)),
        ("ten", list("abcdefghij"), ("a,b,c,d,e,f,g,h,i,j",)),
        ("ten", list("abcdefghij"), ("x= a, b,c,d,e,f,g,h,i,j",)),
        ("ten", [*(f"f{at}" for at in range(9)), "last"], ("f*,last",)),
    ],
)
def test_columns_fill_a_tensor_in_their_order_whatever_that_of_the_file(
    tmp_path: Path, target: str, names: list[str], columns: tuple[str, ...], kind: str
) -> None:
    data = table(names, {"id": [f"row {at}" for at in range(ROWS)]}).select(shuffled([*names, "id"]))
    found, said = scored(tmp_path, data, target, kind, columns=columns)
    np.testing.assert_allclose(answers(found), DRAWN[:, : len(names)] @ WEIGHTS[: len(names)])
    assert found.column_names == [*data.column_names, "y"] and found["id"].to_pylist() == data["id"].to_pylist()
    assert said == [f"x is filled by {len(names)} columns: {', '.join(names)}", "not read, and passed through: id"]


def test_of_two_groups_the_one_with_the_name_of_the_input_is_taken(tmp_path: Path) -> None:
    names = [f"x_{at}" for at in range(10)]
    other = {f"y{at}": [1.0] * ROWS for at in range(10)}
    found, said = scored(tmp_path, table(names, other))
    np.testing.assert_allclose(answers(found), DRAWN[:, :10] @ WEIGHTS[:10])
    assert "x is filled by 10 columns: x_0" in said[0]


def test_two_inputs_are_named_one_by_one(tmp_path: Path) -> None:
    data = table([f"c{at}" for at in range(6)])
    found, _ = scored(tmp_path, data, "net", columns=("left=c0,c1,c2", "right=c3,c4,c5"))
    np.testing.assert_allclose(found["total"].to_numpy(), DRAWN[:, :3].sum(1) * 2 + DRAWN[:, 3:6].sum(1))


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("name", ["age (years)", "age__years_", "Age years"])
def test_inputs_of_different_types_are_filled_by_name(tmp_path: Path, kind: str, name: str) -> None:
    ages, cities = [1, 2, 3], ["Ulm", "Bern", "Rome"]
    found, said = scored(tmp_path, pa.table({"city": cities, "id": [7, 8, 9], name: ages}), "mixed", kind)
    assert found["twice"].to_pylist() == [[2.0], [4.0], [6.0]]
    assert found["town"].to_pylist() == [[each] for each in cities]
    assert (not said) == (name == "age (years)")


TEN = [f"f{at}" for at in range(10)]
NONE_AT_3 = [1.0, 1.0, None, *[1.0] * (ROWS - 3)]
REFUSED = [
    (table(TEN[:9]), "parquet", (), r"x takes 10 columns, such as f0, .*f9, and rows.parquet has f0, .*f8\."),
    (table([f"f{at}" for at in range(11)]), "csv", (), r"x takes 10 columns, such as f0, .*f9, and .*f0, .*f10"),
    (table(shuffled(list("abcdefghij"))), "parquet", (), "x is missing, and should be a list of 10 float32"),
    (table([*TEN[:5], "f7"]), "parquet", (), r"x takes 10 columns.* and rows.parquet has f0, .*f7"),
    (table(TEN, {f"g{at}": [1.0] * ROWS for at in range(10)}), "csv", (), "several groups of columns for x: f0.*; g0"),
    (table(TEN[:9], {"f9": ["a"] * ROWS}), "parquet", (), "f9 is string, and should be of float32"),
    (table(TEN[:9], {"f9": pa.nulls(ROWS)}), "parquet", (), "f9 is null, and should be of float32"),
    (table(TEN[:9], {"f9": NONE_AT_3}), "parquet", (), "Row 3 of rows.parquet has no answer: f9 is missing"),
    (table(TEN[:9], {"f9": NONE_AT_3}), "csv", (), "Row 3 of rows.csv has no answer: f9 is missing"),
    (table(TEN[:9], {"f9": ["1", "a", *["1"] * (ROWS - 2)]}), "csv", (), "Row 2 of rows.csv .*: f9 is no float32"),
    (table(TEN), "parquet", ("f0,f1",), "x takes 10 columns, and 2 of rows.parquet were named: f0, f1"),
    (table(TEN), "parquet", ("f0,f1,nothing",), "has no column nothing"),
    (table(TEN), "parquet", ("f*,f1",), "names f1 twice"),
    (table(TEN), "parquet", ("y=f*",), "There is no input 'y'"),
    (table(TEN), "parquet", ("x=f*", "x=f*"), "there twice"),
    (table(TEN), "parquet", ("",), "names no column"),
]


@pytest.mark.parametrize(("data", "kind", "columns", "told"), REFUSED)
def test_columns_that_do_not_fit_are_refused(
    tmp_path: Path, data: Any, kind: str, columns: tuple[str, ...], told: str
) -> None:
    with pytest.raises(UserError) as refused:
        scored(tmp_path, data, "ten", kind, columns=columns)
    assert re.search(told, refused.value.sentence), refused.value.sentence
    assert not (tmp_path / "out.parquet").exists()


def test_another_mapping_does_not_go_on_with_what_was_begun(tmp_path: Path) -> None:
    data = table(TEN[:9], {"f9": NONE_AT_3})
    with pytest.raises(UserError, match="Row 3"):
        scored(tmp_path, data)
    with pytest.raises(UserError, match="begun with something else: another settings"):
        scored(tmp_path, data, columns=(",".join(reversed(TEN)),))


def test_the_command_says_what_it_mapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv.write_csv(table(shuffled(TEN)), tmp_path / "rows.csv")
    asked = ["score", "ten", str(tmp_path / "rows.csv"), "--into", str(tmp_path / "out.csv")]
    assert main([*asked, "--columns", ",".join(reversed(TEN))]) == 0
    assert f"x is filled by 10 columns: {', '.join(reversed(TEN))}\n" in capsys.readouterr().out
