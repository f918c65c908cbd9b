"""``start``, ``status`` and ``build``: the learner's copies, the learner's record, the author's tool."""

import json
import multiprocessing
from pathlib import Path

import pytest

from helpers.classroom import notebook_file
from helpers.classroom.progress import Progress
from helpers.cli import build, lab, main, start, status
from helpers.places import EXERCISES


@pytest.fixture
def work(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    for module in (start, status, lab):
        monkeypatch.setattr(module, "WORK", folder)
    return folder


def solve(copy: Path) -> bytes:
    """Work in a copy: one cell more."""
    mine = notebook_file.read(copy)
    mine["cells"].append(mine["cells"][1] | {"id": "mine", "source": "mine = 1"})
    notebook_file.write(copy, mine)
    return copy.read_bytes()


def test_start_copies_and_says_where(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", "01"]) == 0
    copy = work / "01_export_2_exercise.ipynb"
    original, copied = (notebook_file.read(path) for path in (EXERCISES / "01_export.ipynb", copy))
    assert copied["cells"] == original["cells"]
    assert str(copy) in capsys.readouterr().out
    assert main(["start", "01", "--lecture"]) == 0
    assert str(work / "01_export_1_lecture.ipynb") in capsys.readouterr().out


def test_start_never_overwrites(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["start", "1"])
    copy = work / "01_export_2_exercise.ipynb"
    mine = solve(copy)
    assert main(["start", "export"]) == 0
    assert copy.read_bytes() == mine
    assert "as you left it" in capsys.readouterr().out
    assert main(["start", "01", "--again"]) == 0
    assert copy.read_bytes() == mine
    assert (work / "01_export_2_exercise-2.ipynb").exists()


def test_start_recognises_a_copy_under_another_number(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["start", "01"])
    solve((work / "01_export_2_exercise.ipynb").rename(work / "03_export.ipynb"))
    capsys.readouterr()
    main(["start", "01"])
    assert "03_export.ipynb is as you left it" in capsys.readouterr().out
    assert not (work / "01_export_2_exercise.ipynb").exists()


def test_a_copy_that_lab_made_is_not_yet_begun(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["start", "01"])
    capsys.readouterr()
    main(["status", "01"])
    assert "not begun: python3 -m helpers start 01" in capsys.readouterr().out
    solve(work / "01_export_2_exercise.ipynb")
    main(["status", "01"])
    assert "0 of 6 tasks correct" in capsys.readouterr().out


def test_status_shows_what_was_done(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["status"])
    assert "not begun: python3 -m helpers start 01" in capsys.readouterr().out
    Progress().record_check("export", "mend", "not yet")
    Progress().record_hint("export", "mend")
    Progress().record_check("export", "dynamic_batch", "correct")
    Progress().record_check("export", "dynamic_batch", "not yet")
    Progress().record_solution("export", "dynamic_batch")
    main(["status", "01"])
    said = capsys.readouterr().out
    assert "1 of 6 tasks correct" in said
    assert "mend: not yet (1 check, 1 hint)" in said
    assert "dynamic_batch: correct (2 checks, solution seen)" in said, "what was once correct stays so"


def test_status_of_a_lesson_without_an_exercise() -> None:
    class Lecture:
        number, name, title, tasks = "00", "welcome", "Welcome", ()

    assert status.describe(Lecture, {}) == ["00 Welcome: no exercise"]


@pytest.mark.parametrize("damage", ["", "not json", "[]", '{"export": []}', '{"export": {"mend": {}}}'])
def test_a_damaged_record_stops_nothing(home: Path, damage: str) -> None:
    home.mkdir()
    (home / "progress.json").write_text(damage)
    Progress().record_check("export", "mend", "correct")
    assert Progress().of("export")["mend"]["outcome"] == "correct"


def test_a_record_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path / "file" / "lab"))
    Progress().record_check("export", "mend", "correct")
    assert Progress().of("export") == {}


def test_build_has_nothing_to_do_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--check"]) == 0
    assert "Nothing to do" in capsys.readouterr().out


def test_build_takes_outputs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = json.loads((EXERCISES / "01_export.ipynb").read_text("utf-8"))
    ran["cells"][1] |= {"execution_count": 3, "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}]}
    ran["cells"][1]["metadata"]["collapsed"] = True
    path = tmp_path / "01_export.ipynb"
    path.write_text(json.dumps(ran))
    monkeypatch.setattr(build, "LECTURES", tmp_path)
    monkeypatch.setattr(build, "SOLUTIONS", tmp_path / "none")
    assert len(build.strip_outputs(write=False)) == 1
    assert '"execution_count": 3' in path.read_text()
    assert len(build.strip_outputs(write=True)) == 1
    assert '"execution_count": 3' not in path.read_text() and "collapsed" not in path.read_text()
    assert build.strip_outputs(write=True) == []


def _check_often(task: str) -> None:
    for _ in range(25):
        Progress().record_check("export", task, "correct")
        Progress().record_hint("export", "shared")


def test_kernels_that_record_at_once_lose_nothing(home: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(_check_often, ["one", "two", "three", "four"])
    found = Progress().of("export")
    assert {task: found[task]["checks"] for task in ("one", "two", "three", "four")} == dict.fromkeys(
        ("one", "two", "three", "four"), 25
    )
    assert found["shared"]["hints"] == 100
    assert [path.name for path in home.iterdir()] == ["progress.json"]
