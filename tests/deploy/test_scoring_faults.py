"""What can go wrong while rows are scored: told in a sentence, and the next run goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from helpers.places import ROOT
from tests.deploy.test_faults import MOUNTED, isolated, refused, told

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet")

# Scores quickly up to the row that STOP_AT names; there it says so, and waits until nobody wants it any more.
SERVICE = """
import os
import time
from helpers.engine import Tensor, api, service

@service
class Rows:
    @api
    def twice(self, x: Tensor["float32", "batch"]) -> Tensor["float32", "batch"]:
        if x[0] == float(os.environ.get("STOP_AT", "-1")):
            print("there", flush=True)
            time.sleep(120)
        if (x == 13.5).any():
            raise ValueError("nobody likes 13.5")
        return x * 2
"""
ROWS, BATCH = 1024, 2
PART = 64 * BATCH


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scoring-faults")
    (folder / "scored_rows.py").write_text(SERVICE)
    pq.write_table(pa.table({"x": np.arange(ROWS, dtype="float32")}), folder / "rows.parquet")
    return folder


def command(file: Path, into: Path, *more: str) -> list[str]:
    asked = ["score", "scored_rows:Rows", str(file), "--into", str(into), "--batch", str(BATCH), *more]
    return [sys.executable, "-m", "helpers", *asked]


def scored(
    place: Path, file: Path, into: Path, *more: str, before: Sequence[str] = (), **known: str
) -> "subprocess.CompletedProcess[str]":
    return told([*before, *command(file, into, *more)], {**os.environ, "PYTHONPATH": str(ROOT), **known}, place)


@pytest.fixture
def at_work(place: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A run that has two parts, and is in the middle of the third."""
    known = {**os.environ, "PYTHONPATH": str(ROOT), "STOP_AT": str(2 * PART + 10)}
    asked = command(place / "rows.parquet", tmp_path / "out.parquet")
    process = subprocess.Popen(asked, env=known, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    with process.stdout, process.stderr:
        assert process.stdout.readline() == "there\n"
        yield process
        process.kill()
        process.wait()


def expect_whole(into: Path) -> None:
    assert pq.read_table(into)["twice"].to_pylist() == [2.0 * at for at in range(ROWS)]
    assert [each.name for each in into.parent.iterdir()] == [into.name]


def test_a_second_run_is_refused_until_the_first_has_died(
    place: Path, tmp_path: Path, at_work: "subprocess.Popen[str]"
) -> None:
    into = tmp_path / "out.parquet"
    for more in ([], ["--anew"]):
        second = scored(place, place / "rows.parquet", into, *more)
        refused(second, 1, f"{into} is being scored by another process")
    at_work.kill()
    at_work.wait()
    second = scored(place, place / "rows.parquet", into)
    assert second.returncode == 0 and f"{ROWS - 2 * PART:,} scored now" in second.stdout, second.stderr
    expect_whole(into)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_says_what_is_kept_and_how_to_go_on(
    place: Path, tmp_path: Path, at_work: "subprocess.Popen[str]"
) -> None:
    at_work.send_signal(signal.SIGINT)
    said = at_work.stderr.read()  # type: ignore[union-attr]
    assert at_work.wait(60) == 130 and "Traceback" not in said
    assert f"Stopped; {2 * PART} rows are scored and kept. Run the same command again to go on." in said
    assert scored(place, place / "rows.parquet", tmp_path / "out.parquet").returncode == 0
    expect_whole(tmp_path / "out.parquet")


def test_an_input_that_changed_meanwhile_is_not_gone_on_with(
    place: Path, tmp_path: Path, at_work: "subprocess.Popen[str]"
) -> None:
    at_work.kill()
    at_work.wait()
    other = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": np.arange(ROWS - 1, dtype="float32")}), other)
    into = tmp_path / "out.parquet"
    refused(scored(place, other, into), 1, "out.parquet was begun with something else: another input")
    again = scored(place, other, into, "--anew")
    assert again.returncode == 0 and f"{ROWS - 1:,} scored now" in again.stdout


@pytest.mark.parametrize(("options", "sentence"), [("size=64k", "No space left"), ("ro", "Read-only file system")])
@pytest.mark.parametrize("form", [".parquet", ".csv", ""])
def test_a_disk_that_takes_nothing_is_told(place: Path, tmp_path: Path, options: str, sentence: str, form: str) -> None:
    wide = tmp_path / "wide.parquet"
    draw = np.random.default_rng(1)
    pq.write_table(pa.table({"x": draw.random(20_000).astype("float32"), "y": draw.random(20_000)}), wide)
    disk = tmp_path / "disk"
    disk.mkdir()
    before = [*isolated("--mount"), "sh", "-c", MOUNTED, options, str(disk)]
    into = disk / f"out{form}"
    ran = scored(place, wide, into, before=before, OLD=str(disk))
    refused(ran, 1, f"{into} cannot be written: ")
    assert sentence in ran.stderr
    assert ".new" not in ran.stderr and f"\nout{form}\n" not in ran.stderr, "neither the output nor half a part"


def test_a_place_that_is_none_is_told(place: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(scored(place, place / "rows.parquet", tmp_path / "file" / "out.parquet"), 2, "file is no folder")
    (tmp_path / "out.parquet").mkdir()
    refused(scored(place, place / "rows.parquet", tmp_path / "out.parquet"), 2, "out.parquet is there already")
    refused(scored(place, place / "rows.parquet", tmp_path / "out.json"), 2, "out.json says no form of output")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "out.parquet"]


@pytest.mark.parametrize(
    ("name", "content", "code", "sentence"),
    [
        ("none.parquet", None, 2, "cannot be read: No such file or directory"),
        ("folder.csv", b"/", 2, "cannot be read: Is a directory"),
        ("empty.parquet", b"", 1, "empty.parquet cannot be read: "),
        ("empty.csv", b"", 1, "empty.csv cannot be read: Empty CSV file"),
        ("other.csv", b"y\n1\n", 1, "other.csv does not fit: x is missing"),
        ("text.csv", b"x\n1\nmany\n", 1, "Row 2 of text.csv has no answer: x is no float32"),
        ("odd.csv", b"x\n1\n2\n13.5\n", 1, "Row 3 of odd.csv has no answer: ValueError('nobody likes 13.5')"),
        ("odd.csv", b"\xff\xfe\x00x\n1\n", 1, "odd.csv cannot be read: its column names are no UTF-8"),
        ("latin.csv", b"x,y\n1,K\xf6ln\n", 1, "latin.csv cannot be read: "),
    ],
)
def test_an_input_that_cannot_be_scored_is_told(
    place: Path, tmp_path: Path, name: str, content: bytes | None, code: int, sentence: str
) -> None:
    file = tmp_path / name
    if content == b"/":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    ran = scored(place, file, tmp_path / "out.parquet")
    refused(ran, code, sentence)
    assert not (tmp_path / "out.parquet").exists() and not list(tmp_path.glob("*.lock"))
