"""Offline batch: the answers are those that HTTP gives, by every engine, and however often the run is killed."""

import contextlib
import csv
import io
import json
import os
import pickle
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.deploy.scoring import Job, Scored, over_ray, score
from helpers.deploy.scoring import job as jobs
from helpers.deploy.scoring.columns import to_array, to_column, type_of
from helpers.deploy.scoring.comparison import compare
from helpers.deploy.scoring.progress import Bar
from helpers.engine.targets import resolve
from helpers.errors import UserError
from helpers.places import ROOT
from helpers.runtime import TensorSpec
from helpers.serving import serve
from helpers.store import Store
from helpers.wire.errors import EngineError
from tests.engine.served import twice_and_sum

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet")

SERVICES = """
import asyncio
import os
from pathlib import Path
import numpy as np
from helpers.engine import Batching, Image, Table, Tensor, api, depends, service

def note():
    if "CALLS" in os.environ:  # a test waits for these bytes, and kills then
        with Path(os.environ["CALLS"]).open("ab") as file:
            file.write(b".")

@service
class Rows:
    @api(batching=Batching(largest=4))
    def price(
        self, rows: Table[{"age": "float32", "city": "str", "member": "bool"}]
    ) -> Table[{"price": "float32", "town": "str"}]:
        note()
        if (rows["age"] < 0).any():
            raise ValueError("nobody is younger than 0")
        return {"price": rows["age"] * 2 + rows["member"], "town": np.array([each.upper() for each in rows["city"]])}

@service(finite_only=True)
class Pictures:
    @api(batching=Batching())
    def halves(
        self, images: Tensor["float32", "batch", 2, 2], weight: Tensor["int64", "batch"]
    ) -> Tensor["float32", "batch", 2]:
        return images.sum(1) * weight[:, None].astype("float32")

@service
class Both:
    pictures = depends(Pictures)

    @api
    async def twice(
        self, images: Tensor["float32", "batch", 2, 2], weight: Tensor["int64", "batch"]
    ) -> list[float]:
        one, other = await asyncio.gather(*(self.pictures.halves(images, weight) for _ in range(2)))
        return (one + other).sum(1).astype(float).tolist()

@service
class Many:
    @api
    def one(self, x: Tensor["float32", "batch"]) -> Tensor["float32", "batch"]:
        return x[:-1] if x[0] == 13 else x

    @api
    def other(self, x: Tensor["float32", "batch"]):
        return x

@service
class Photo:
    @api
    def look(self, photo: Image["RGB"]) -> int:
        return 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A module with services, a store with a model, and files to score."""
    made = tmp_path_factory.mktemp("scoring")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVELAB_HOME", str(made / "lab"))
        patch.setattr(sys, "path", [*sys.path])
        (made / "scored_services.py").write_text(SERVICES)
        Store().save("net", twice_and_sum(made / "net.onnx", 2.0))
        write_files(made)
        yield made
        sys.modules.pop("scored_services", None)


def write_files(folder: Path, rows: int = 1000) -> None:
    draw = np.random.default_rng(7)
    people = {
        "id": pa.array([f"row, {at}" for at in range(rows)]),
        "age": pa.array(draw.integers(0, 90, rows)),
        "city": pa.array([["Ulm", "Bern", 'the "old" town', "two\nlines"][at % 4] for at in range(rows)]),
        "member": pa.array(draw.random(rows) < 0.5),
    }
    pq.write_table(pa.table(people), folder / "people.parquet", row_group_size=170)
    with (folder / "people.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(people)
        writer.writerows(zip(*(column.to_pylist() for column in people.values()), strict=True))
    images = draw.random((rows, 4)).astype("float32")
    pictures = {"images": pa.FixedSizeListArray.from_arrays(images.reshape(-1), 4), "weight": people["age"]}
    sides = {name: pa.array(draw.random((rows, 3)).tolist()) for name in ("left", "right")}
    pq.write_table(pa.table(pictures | sides), folder / "pictures.parquet", row_group_size=300)


NEEDS: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def known_targets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What starts each target in another process is tested with bundles; here once for each."""
    find = jobs.needs.find

    def once(named: str, place: Path) -> Any:
        if named not in NEEDS:
            NEEDS[named] = find(named, place)
        return NEEDS[named]

    monkeypatch.setattr(jobs.needs, "find", once)


def asked(folder: Path, into: Path, target: str = "Rows", file: str = "people.parquet", **more: Any) -> Job:
    named = target if target[0].islower() else f"scored_services:{target}"
    return Job(named, folder / file, into, folder=folder, batch=more.pop("batch", 64), **more)


def quiet(total: int, start: int) -> Bar:
    return Bar(total, start, io.StringIO())


def done(job: Job, anew: bool = False) -> Scored:
    return score(job, anew, quiet)


def digest(path: Path) -> str:
    """Of a file, or of all files in a folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@pytest.mark.parametrize(
    ("target", "file", "api"),
    [
        ("Rows", "people.parquet", "price"),
        ("Pictures", "pictures.parquet", "halves"),
        ("Both", "pictures.parquet", "twice"),
    ],
)
def test_the_answers_are_those_that_http_gives(folder: Path, tmp_path: Path, target: str, file: str, api: str) -> None:
    done(asked(folder, tmp_path / "out.parquet", target, file))
    found = pq.read_table(tmp_path / "out.parquet").slice(0, 50)
    given = pq.read_table(folder / file).slice(0, 50)
    assert found.select(given.column_names) == given, "a file's own columns stay"
    body: dict[str, Any] = {}
    if target == "Rows":
        body = {"rows": given.drop_columns(["id"]).to_pylist()}
    else:
        images = np.array(given["images"].to_pylist()).reshape(-1, 2, 2).tolist()
        body = {"images": images, "weight": given["weight"].to_pylist()}
    with serve(resolve(f"scored_services:{target}", folder)) as server, server.client as client:
        answered = client.http.post(f"/{api}", content=json.dumps(body)).json()
    added = found.drop_columns(given.column_names)
    if target == "Rows":
        assert added.to_pylist() == answered
    else:  # of 32 bits, which JSON writes shorter than Python shows them
        assert np.array_equal(np.array(added[api].to_pylist(), "float32"), np.array(answered, "float32"))


def test_a_model_of_the_store_is_scored_by_its_inputs(folder: Path, tmp_path: Path) -> None:
    assert done(asked(folder, tmp_path / "out.parquet", "net", "pictures.parquet")).rows == 1000
    found = pq.read_table(tmp_path / "out.parquet")
    left, right = (np.array(found[name].to_pylist(), "float32") for name in ("left", "right"))
    np.testing.assert_array_equal(np.array(found["scaled"].to_pylist(), "float32"), left * 2 + right)
    assert found["total"].type == pa.float32()


@pytest.mark.parametrize("file", ["people.parquet", "people.csv"])
@pytest.mark.parametrize("form", [".parquet", ".csv", ""])
def test_every_engine_writes_the_same_bytes(folder: Path, tmp_path: Path, file: str, form: str) -> None:
    pytest.importorskip("duckdb", reason="duckdb is not installed")
    for engine in ("pyarrow", "duckdb"):
        assert done(asked(folder, tmp_path / f"{engine}{form}", file=file, engine=engine)).rows == 1000
    assert digest(tmp_path / f"pyarrow{form}") == digest(tmp_path / f"duckdb{form}")
    if form == ".csv" and file == "people.csv":
        mine, theirs = (
            list(csv.reader(path.read_text().splitlines(True))) for path in (tmp_path / "pyarrow.csv", folder / file)
        )
        assert [row[:4] for row in mine] == theirs and mine[0][4:] == ["price", "town"]


def test_lists_survive_csv(folder: Path, tmp_path: Path) -> None:
    done(asked(folder, tmp_path / "one.csv", "Pictures", "pictures.parquet"))
    done(replace(asked(folder, tmp_path / "two.parquet", "Pictures"), file=renamed(tmp_path / "one.csv")))
    found = pq.read_table(tmp_path / "two.parquet")
    assert [json.loads(text) for text in found["before"].to_pylist()] == found["halves"].to_pylist()


def renamed(path: Path) -> Path:
    """The answer's column under another name, so that the file can be scored again."""
    path.write_text(path.read_text().replace("halves", "before", 1))
    return path


def test_rays_workers_give_the_same_answers(folder: Path, tmp_path: Path) -> None:
    for package in ("ray", "pandas"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    program = "import pickle, sys; from helpers.deploy.scoring import score; score(pickle.load(sys.stdin.buffer))"
    job = asked(folder, tmp_path / "ray.parquet", engine="ray", batch=8)
    ran = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(job), capture_output=True, cwd=ROOT, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    done(asked(folder, tmp_path / "here.parquet", batch=8))
    assert digest(tmp_path / "ray.parquet") == digest(tmp_path / "here.parquet")


def test_a_cluster_that_does_not_start_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed")

    def late(**_: object) -> None:
        raise TimeoutError("The current node timed out during startup.\nMore of it")

    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(UserError, match=r"Ray did not start: The current node timed out during startup\."):
        over_ray._start_cluster()


PROGRAM = """
import sys
from pathlib import Path
from helpers.deploy import needs
from helpers.deploy.scoring import Job, score
target, file, into, folder = sys.argv[1:]
needs.find = lambda named, place: needs.Needs("Rows", ("scored_services.py",), {}, {}, {})
print(score(Job(target, Path(file), Path(into), folder=Path(folder), batch=4)))
"""


@pytest.mark.parametrize("file", ["people.parquet", "people.csv"])
def test_kills_lose_no_row_and_double_none(folder: Path, tmp_path: Path, file: str) -> None:
    """Killed after calls at random, and at last left alone: the file is that of a run that nobody killed."""
    chance, calls = random.Random(file), tmp_path / "calls"
    command = [sys.executable, "-c", PROGRAM, "scored_services:Rows", str(folder / file)]
    known = {**os.environ, "CALLS": str(calls), "PYTHONPATH": str(ROOT)}
    whole = subprocess.run([*command, str(tmp_path / "whole.parquet"), str(folder)], env=known, capture_output=True)
    assert whole.returncode == 0, whole.stderr
    assert calls.stat().st_size == 250
    into, parts = tmp_path / "killed.parquet", tmp_path / ".killed.parquet.scoring"
    kept = []
    for _ in range(4):
        calls.write_bytes(b"")
        after = chance.randint(1, 150)
        run = subprocess.Popen([*command, str(into), str(folder)], env=known, stderr=subprocess.DEVNULL)
        while calls.stat().st_size < after and run.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(0.001)
        run.kill()
        run.wait()
        assert not into.exists()
        kept.append(len(list(parts.glob("part-*.parquet"))))
    assert kept == sorted(kept), "what was done stays done"
    calls.write_bytes(b"")
    last = subprocess.run([*command, str(into), str(folder)], env=known, capture_output=True)
    assert last.returncode == 0, last.stderr
    assert calls.stat().st_size == 250 - kept[-1] * 64, "only the missing parts are scored"
    assert digest(into) == digest(tmp_path / "whole.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls", "killed.parquet", "whole.parquet"]


KILLED_AT = """
import os, pathlib, shutil, signal
point, _, left = os.environ["KILLED_AT"].partition(":")
place, left = {"fsync": os, "replace": pathlib.Path, "rmtree": shutil}.get(point), int(left or 0)
original = getattr(place, point, None)

def counted(*given, **named):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*given, **named)

if place is not None:
    setattr(place, point, counted)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
@pytest.mark.parametrize("form", [".parquet", ".csv"])
def test_a_kill_at_any_step_of_writing_is_made_good(folder: Path, tmp_path: Path, form: str) -> None:
    """Four parts: before the manifest is there, half-way through a part, before the output is there, and after."""
    command = [sys.executable, "-c", KILLED_AT + PROGRAM, "scored_services:Rows", str(folder / "people.parquet")]
    into = tmp_path / f"out{form}"

    def ran(point: str) -> "subprocess.CompletedProcess[str]":
        known = {**os.environ, "KILLED_AT": point, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [*command, str(into), str(folder)], env=known, capture_output=True, text=True, check=False
        )

    for point in ("replace:1", "fsync:3", "replace:2", "replace:4"):
        assert ran(point).returncode == -signal.SIGKILL and not into.exists()
    assert ran("rmtree:1").returncode == -signal.SIGKILL and into.exists()
    last = ran("")
    assert last.returncode == 0 and "scored_now=0" in last.stdout, last.stderr
    assert [path.name for path in tmp_path.iterdir()] == [into.name]
    done(asked(folder, tmp_path / f"whole{form}", batch=4))
    assert digest(into) == digest(tmp_path / f"whole{form}")


def interrupted(job: Job, monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """As if the machine had been switched off after some parts."""
    write = jobs.Parts.write

    def until(self: Any, number: int, table: Any) -> None:
        if number >= parts:
            raise KeyboardInterrupt
        write(self, number, table)

    with monkeypatch.context() as patch:
        patch.setattr(jobs.Parts, "write", until)
        with pytest.raises(KeyboardInterrupt):
            done(job)


@pytest.mark.parametrize(
    ("change", "told"), [("file", "another input"), ("code", "another target"), ("settings", "another settings")]
)
def test_what_was_begun_is_not_gone_on_with_by_something_else(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, told: str
) -> None:
    file = tmp_path / "people.parquet"
    file.write_bytes((folder / "people.parquet").read_bytes())
    job = replace(asked(folder, tmp_path / "out", batch=4), file=file)
    interrupted(job, monkeypatch, 2)
    module = folder / "scored_services.py"
    if change == "file":
        pq.write_table(pq.read_table(file).slice(1), file)
    elif change == "code":
        module.write_text(SERVICES + "# changed\n")
    else:
        job = replace(job, batch=5)
    try:
        with pytest.raises(UserError, match=told):
            done(job)
        assert done(job, anew=True).scored_now == (999 if change == "file" else 1000)
    finally:
        module.write_text(SERVICES)


def test_a_run_goes_on_with_another_engine(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb", reason="duckdb is not installed")
    job = asked(folder, tmp_path / "out", batch=4)
    interrupted(job, monkeypatch, 2)
    assert done(replace(job, engine="duckdb")).scored_now == 1000 - 2 * 256
    done(replace(job, into=tmp_path / "whole"))
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")
    assert pq.read_table(tmp_path / "out").num_rows == 1000, "readers of folders pass over the manifest"
    with pytest.raises(UserError, match="is there already"):
        done(job)


def test_the_file_may_not_change_meanwhile(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes((folder / "people.csv").read_bytes())
    scored_part = jobs.scored_part

    def meanwhile(*given: Any) -> Any:
        with file.open("a") as more:
            more.write("x,1,Ulm,true\n")
        return scored_part(*given)

    monkeypatch.setattr(jobs, "scored_part", meanwhile)
    with pytest.raises(UserError, match="was changed while it was scored"):
        done(replace(asked(folder, tmp_path / "out.csv"), file=file))
    assert not (tmp_path / "out.csv").exists()


BAD = {"age": [1, None, -3, 4, "x"], "city": ["a", "b", "c", None, "e"], "member": [True, False, True, True, "7"]}


def bad_file(path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(BAD)
        writer.writerows(zip(*BAD.values(), strict=True))
    return path


def test_bad_rows_are_kept_with_their_errors(folder: Path, tmp_path: Path) -> None:
    job = replace(asked(folder, tmp_path / "out.parquet", keep_errors=True), file=bad_file(tmp_path / "bad.csv"))
    assert (done(job).rows, done(replace(job, into=tmp_path / "again.csv")).bad) == (5, 3)
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["price"].to_pylist() == [3.0, None, None, 9.0, None]
    assert found["town"].to_pylist() == ["A", None, None, "", None]
    errors = found["error"].to_pylist()
    assert errors[0] is None and "age is missing" in errors[1] and "younger than 0" in errors[2] and "age" in errors[4]


def test_the_first_bad_row_stops_and_is_told_by_its_number(folder: Path, tmp_path: Path) -> None:
    job = replace(asked(folder, tmp_path / "out.parquet"), file=bad_file(tmp_path / "bad.csv"))
    with pytest.raises(UserError, match=r"Row 2 of bad.csv has no answer: rows.age is missing"):
        done(job)
    assert not (tmp_path / "out.parquet").exists()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bad=st.sets(st.integers(0, 39)), batch=st.integers(1, 50))
def test_only_the_bad_rows_fail(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, bad: set[int], batch: int
) -> None:
    place = tmp_path_factory.mktemp("bad")
    ages = [-1 if at in bad else at for at in range(40)]
    pq.write_table(pa.table({"age": ages, "city": ["x"] * 40, "member": [False] * 40}), place / "ages.parquet")
    job = asked(folder, place / "out.parquet", batch=batch, keep_errors=True)
    assert done(replace(job, file=place / "ages.parquet")).bad == len(bad)
    found = pq.read_table(place / "out.parquet")
    assert found["price"].to_pylist() == [None if at in bad else 2.0 * at for at in range(40)]


def test_an_answer_that_lacks_a_row_is_found_out(folder: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [13.0, 1.0]}), tmp_path / "x.parquet")
    job = replace(asked(folder, tmp_path / "out.parquet", "Many", api="one"), file=tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"Row 1 of x.parquet has no answer: .*did not answer each row"):
        done(job)


WRONG = [
    ("Rows", "pictures.parquet", {}, "age is missing, and should be of float32; city is missing"),
    ("Pictures", "people.parquet", {}, "images is missing, and should be a list of 2 × 2 float32 in each row"),
    ("Many", "people.parquet", {}, "has several APIs that take rows"),
    ("Many", "people.parquet", {"api": "other"}, "does not say what it answers"),
    ("Many", "people.parquet", {"api": "none"}, "has no API 'none'"),
    ("Photo", "people.parquet", {}, "has no API that takes rows"),
    ("Missing", "people.parquet", {}, "has no service Missing"),
    ("net", "people.parquet", {}, "left is missing"),
    ("net", "people.parquet", {"api": "x"}, "has no APIs to choose from"),
    ("Rows", "nothing.parquet", {}, "cannot be read"),
    ("Rows", "net.onnx", {}, "is neither a .parquet nor a .csv"),
    ("Rows", "damaged.parquet", {}, "damaged.parquet cannot be read"),
    ("Rows", "wide.csv", {}, "wide.csv cannot be read: .*Expected 3 columns"),
    ("Rows", "typed.parquet", {}, "age is string, and should be of float32"),
    ("Rows", "taken.parquet", {}, "has a column price already"),
    ("Rows", "people.csv", {"engine": "ray"}, "CSV is read from its beginning|ray"),
]


@pytest.mark.parametrize(
    ("target", "file", "more", "told"), WRONG, ids=[f"{at}-{row[1]}" for at, row in enumerate(WRONG)]
)
def test_what_does_not_fit_is_told(
    folder: Path, tmp_path: Path, target: str, file: str, more: dict[str, str], told: str
) -> None:
    (folder / "damaged.parquet").write_bytes(b"PAR1 and nothing else")
    (folder / "wide.csv").write_text("age,city,member\n1,Ulm,true\n2,Ulm,true,4\n")
    good = {"age": [1.0], "city": ["x"], "member": [True]}
    pq.write_table(pa.table(good | {"age": ["1"]}), folder / "typed.parquet")
    pq.write_table(pa.table(good | {"price": [1]}), folder / "taken.parquet")
    with pytest.raises(UserError, match=told):
        done(asked(folder, tmp_path / "out.parquet", target, file, **more))
    assert not (tmp_path / "out.parquet").exists()


def test_an_empty_file_gives_an_empty_one(folder: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(folder / "people.parquet").slice(0, 0), tmp_path / "none.parquet")
    for into in ("out.parquet", "out.csv", "out"):
        assert done(replace(asked(folder, tmp_path / into), file=tmp_path / "none.parquet")).rows == 0
    assert pq.read_table(tmp_path / "out.parquet").column_names[-2:] == ["price", "town"]


def test_rows_are_read_a_slice_at_a_time(folder: Path, tmp_path: Path) -> None:
    source = jobs.open_source(folder / "people.parquet")
    slices = source.slices(100, 64)
    assert next(slices)["id"][0].as_py() == "row, 100" and [len(table) for table in slices][-1] == (900 - 64) % 64
    with_wide_rows = replace(source, row_bytes=8 << 20)
    assert jobs.planned(asked(folder, tmp_path), with_wide_rows, scorer()).part_rows == 64, "a part fits into memory"


def scorer() -> Any:
    return type("Scorer", (), {"most_rows": 1024, "inputs": {}})()


SPECS = [
    TensorSpec("x", np.dtype(kind), ("rows", *inner))
    for kind in ("float32", "float64", "int64", "uint8", "bool", "object")
    for inner in ((), (2,), (2, 3))
]


@given(st.data(), st.sampled_from(SPECS), st.integers(1, 5))
def test_arrays_come_back_from_columns_as_they_went(data: st.DataObject, spec: TensorSpec, rows: int) -> None:
    shape = (rows, *(size for size in spec.shape[1:] if isinstance(size, int)))
    count = int(np.prod(shape))
    if spec.dtype == object:
        array = np.array(data.draw(st.lists(st.text(), min_size=count, max_size=count)), object).reshape(shape)
    else:
        drawn = np.random.default_rng(data.draw(st.integers(0, 99)))
        array = (drawn.random(shape) * 200).astype(spec.dtype)
    column = to_column(array, spec)
    assert column.type == type_of(spec)
    found = to_array(column, spec, texts=False)
    assert found.dtype == spec.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("values", "kind", "inner", "told"),
    [
        ([[1.0, 2.0], [1.0]], "float32", (2,), "different lengths"),
        ([[1.0, None]], "float32", (2,), "missing"),
        ([None], "float32", (), "missing"),
        ([1e300], "float32", (), "no float32"),
        ([300], "uint8", (), "no uint8"),
        ([""], "float64", (), "missing"),
        (["1.5"], "int64", (), "no int64"),
        (["[1, 2"], "int64", (2,), "not JSON"),
        (["[[1, 2], [3]]"], "int64", (2, 2), "different lengths"),
    ],
)
def test_a_value_that_http_would_refuse_is_refused(values: list[Any], kind: str, inner: Any, told: str) -> None:
    texts = isinstance(values[0], str)
    with pytest.raises(EngineError, match=told):
        to_array(pa.array(values), TensorSpec("x", np.dtype(kind), ("rows", *inner)), texts)


def test_texts_of_csv_are_read_as_http_reads_them() -> None:
    spec = TensorSpec("x", np.dtype("float32"), ("rows", 2))
    np.testing.assert_array_equal(to_array(pa.array(["[1, 2.5]", " [3, 4]"]), spec, True), [[1, 2.5], [3, 4]])
    numbers = to_array(pa.array([" 7", "1e3"]), TensorSpec("x", np.dtype("float32"), ("rows", 1)), True)
    np.testing.assert_array_equal(numbers, [[7], [1000]])


def test_the_bar_says_how_far_it_is() -> None:
    now, said = [0.0], io.StringIO()
    bar = Bar(1000, 200, said, lambda: now[0])
    bar.show(300)
    assert said.getvalue() == "", "not at every batch"
    now[0] = 10.0
    bar.show(500)
    assert said.getvalue() == "[###############...............]  50%  500 rows  30 rows/s\n"
    bar.end(1000)
    assert "100%  1,000 rows" in said.getvalue()


def test_engines_are_compared_side_by_side(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb", reason="duckdb is not installed")
    job = asked(folder, tmp_path)
    lines = compare(job, ["pyarrow", "duckdb"])
    assert [(line[0], line[3]) for line in lines] == [("pyarrow", "the same bytes"), ("duckdb", "the same bytes")]
    monkeypatch.setitem(jobs.ENGINES, "ray", ["no_such_package"])
    assert compare(job, ["pyarrow", "ray"])[1] == ["ray", "-", "-", "no_such_package not installed"]
    with pytest.raises(UserError, match="needs no_such_package"):
        done(replace(job, engine="ray"))


def test_the_command_scores(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "helpers", "score", "scored_services:Rows", "people.csv", "--into"]
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [*command, str(tmp_path / "out.csv")], cwd=folder, env=known, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "1,000 rows" in ran.stdout and "100%" in ran.stderr
    again = subprocess.run(
        [*command, str(tmp_path / "out.csv")], cwd=folder, env=known, capture_output=True, text=True, check=False
    )
    assert again.returncode == 2 and "is there already" in again.stderr and "Traceback" not in again.stderr


HOLE = float("nan")


@pytest.mark.parametrize(
    ("values", "inner", "texts", "found"),
    [
        ([1.5, None], (), False, [1.5, HOLE]),
        ([1, None], (), False, [1, HOLE]),
        (["1.5", " ", ""], (), True, [1.5, HOLE, HOLE]),
        ([1.5, None], (1,), False, [[1.5], [HOLE]]),
        ([[1.5, None], [2.0, 3.0]], (2,), False, [[1.5, HOLE], [2, 3]]),
        (["[1, null]", "[2, 3]"], (2,), True, [[1, HOLE], [2, 3]]),
        ([[1.5, None], None], (2,), False, None),
        (["[1, null]", ""], (2,), True, None),
        (["[1]", ""], (1,), True, None),
    ],
)
def test_a_missing_value_is_nan_where_it_is_taken(values: Any, inner: Any, texts: bool, found: Any) -> None:
    spec = TensorSpec("x", np.dtype("float32"), ("rows", *inner), takes_missing=True)
    if found is None:
        with pytest.raises(EngineError, match="x is missing"):
            to_array(pa.array(values), spec, texts)
    else:
        np.testing.assert_array_equal(to_array(pa.array(values), spec, texts), np.array(found, np.float32))
