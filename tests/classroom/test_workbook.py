"""The learner's copies: always there, up to date where they were not edited, never overwritten where they were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.classroom import lessons, notebook_file, workbook
from helpers.classroom.lessons import LessonFiles
from helpers.classroom.notebook_file import Notebook
from helpers.classroom.workbook import EXERCISE, LECTURE, Original, refresh, start
from helpers.errors import UserError
from tests.classroom.notebooks import good, notebook, write

Change = Callable[[Notebook], Any]
LESSON = LessonFiles("42", "made")
NAMES = {LECTURE: "42_made_1_lecture.ipynb", EXERCISE: "42_made_2_exercise.ipynb"}


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of one lesson."""
    for name in ("LECTURES", "EXERCISES"):
        monkeypatch.setattr(lessons, name, tmp_path / name.lower())
    write(tmp_path / "lectures", good("x = 1", "y = 2"))
    write(tmp_path / "exercises", exercise(good("x = ...")))
    return tmp_path


@pytest.fixture
def work(course: Path) -> Path:
    return course / "work"


def exercise(made: Notebook) -> Notebook:
    made["metadata"]["servelab"] = {"exercise": "made"}
    return made


def update_course(course: Path) -> None:
    write(course / "lectures", good("x = 1", "y = 3"))
    write(course / "exercises", exercise(good("x, y = ...")))


def change(path: Path, how: Change) -> None:
    made = notebook_file.read(path)
    how(made)
    notebook_file.write(path, made)


def sources(path: Path) -> list[str]:
    return [cell["source"] for cell in notebook_file.read(path)["cells"]]


def run(made: Notebook) -> None:
    """What JupyterLab leaves in a file whose cells were run to the end and saved."""
    for number, cell in enumerate(notebook_file.code_cells(made), start=1):
        cell["execution_count"] = number
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["x\n"]}]
        cell["metadata"] |= {"collapsed": False, "scrolled": True, "jupyter": {"outputs_hidden": True}}
    made["cells"].append(empty_cell("last"))
    made["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    made["metadata"]["language_info"]["version"] = "3.13.1"
    made["metadata"]["kernelspec"]["display_name"] = "servelab"


def empty_cell(name: str) -> dict[str, Any]:
    return {"cell_type": "code", "id": name, "metadata": {}, "source": "", "execution_count": None, "outputs": []}


EDITS: dict[str, Change] = {
    "a changed line": lambda made: made["cells"][2].update(source="x = 100"),
    "a remark in the prose": lambda made: made["cells"][0].update(source=made["cells"][0]["source"] + "\n\nNote."),
    "a cell more": lambda made: made["cells"].append(empty_cell("mine") | {"source": "mine = 1"}),
    "a cell less": lambda made: made["cells"].pop(2),
    "another order": lambda made: made["cells"].reverse(),
    "code made prose": lambda made: made["cells"][2].update(cell_type="markdown"),
    "a tag": lambda made: made["cells"][2]["metadata"].update(tags=["mine"]),
    "a run and a changed line": lambda made: (run(made), made["cells"][2].update(source="x = 100")),
}


def test_there_is_a_copy_of_everything(course: Path, work: Path) -> None:
    refresh(work)
    assert sorted(path.name for path in work.iterdir()) == sorted(NAMES.values())
    assert sources(work / NAMES[LECTURE]) == sources(course / "lectures" / "42_made.ipynb")
    assert sources(work / NAMES[EXERCISE]) == sources(course / "exercises" / "42_made.ipynb")
    before = [path.read_bytes() for path in sorted(work.iterdir())]
    assert not any(copy.edited or copy.outdated for _, copy in refresh(work))
    assert [path.read_bytes() for path in sorted(work.iterdir())] == before


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("how", [run, lambda made: None], ids=["run", "untouched"])
def test_what_was_only_run_is_brought_up_to_date(how: Change, kind: str, course: Path, work: Path) -> None:
    refresh(work)
    change(work / NAMES[kind], how)
    saved = (work / NAMES[kind]).read_bytes()
    refresh(work)
    assert (work / NAMES[kind]).read_bytes() == saved, "outputs stay while the course stays as it is"
    update_course(course)
    assert not any(copy.outdated for _, copy in refresh(work))
    assert sources(work / NAMES[kind]) == sources(Original(LESSON, kind).path)
    assert len(list(work.iterdir())) == 2


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("edit", EDITS)
def test_what_was_edited_is_never_overwritten(edit: str, kind: str, course: Path, work: Path) -> None:
    refresh(work)
    copy = work / NAMES[kind]
    change(copy, EDITS[edit])
    mine = copy.read_bytes()
    state = {original.kind: state for original, state in refresh(work)}
    assert state[kind].edited and not state[kind].outdated

    update_course(course)
    for _ in range(2):
        state = {original.kind: state for original, state in refresh(work)}
        assert state[kind].edited and state[kind].outdated and state[kind].path == copy
        assert copy.read_bytes() == mine

    newer = start(Original(LESSON, kind), work, again=True).path
    assert newer != copy and sources(newer) == sources(Original(LESSON, kind).path)
    assert not any(copy.outdated for _, copy in refresh(work)), "both versions are there"
    assert copy.read_bytes() == mine


def test_a_renamed_copy_is_still_the_copy(work: Path) -> None:
    refresh(work)
    (work / NAMES[LECTURE]).rename(work / "my lecture.ipynb")
    refresh(work)
    assert sorted(path.name for path in work.iterdir()) == sorted([NAMES[EXERCISE], "my lecture.ipynb"])


def test_a_deleted_copy_comes_back(work: Path) -> None:
    refresh(work)
    (work / NAMES[LECTURE]).unlink()
    refresh(work)
    assert (work / NAMES[LECTURE]).exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"cells": [], "metadata": []}', '{"cells": [{}]}'])
def test_a_damaged_copy_stays_and_another_is_made(damage: str, work: Path) -> None:
    work.mkdir()
    (work / NAMES[LECTURE]).write_text(damage)
    refresh(work)
    assert (work / NAMES[LECTURE]).read_text() == damage
    assert (work / "42_made_1_lecture-2.ipynb").exists()
    refresh(work)
    assert len(list(work.iterdir())) == 3


class TestCopiesFromBefore:
    """Exercises used to be copied byte by byte, under the exercise's own name."""

    @pytest.fixture
    def old(self, course: Path, work: Path) -> Path:
        work.mkdir()
        path = work / "42_made.ipynb"
        path.write_bytes((course / "exercises" / "42_made.ipynb").read_bytes())
        return path

    def test_it_is_the_exercise_and_the_lecture_comes_beside_it(self, old: Path, work: Path) -> None:
        change(old, EDITS["a changed line"])
        mine = old.read_bytes()
        state = {original.kind: state for original, state in refresh(work)}
        assert state[EXERCISE] == workbook.Started(old, edited=True, outdated=False)
        assert old.read_bytes() == mine
        assert sorted(path.name for path in work.iterdir()) == ["42_made.ipynb", NAMES[LECTURE]]

    def test_untouched_it_does_not_count_as_begun(self, old: Path, work: Path) -> None:
        assert not start(Original(LESSON, EXERCISE), work).edited
        assert not workbook.is_begun(Original(LESSON, EXERCISE), work)

    def test_after_an_update_it_stays(self, old: Path, course: Path, work: Path) -> None:
        mine = old.read_bytes()
        update_course(course)
        refresh(work)
        assert old.read_bytes() == mine


LINKS = {
    "![x](pictures/x.png)": "![x](../lectures/pictures/x.png)",
    "<img alt='x' src='pictures/x.png'>": "<img alt='x' src='../lectures/pictures/x.png'>",
    "[next](43_next.ipynb)": "[next](43_next_1_lecture.ipynb)",
    "[part](43_next.ipynb#A-part)": "[part](43_next_1_lecture.ipynb#A-part)",
    "[try](../exercises/42_made.ipynb)": "[try](42_made_2_exercise.ipynb)",
    "[read](../README.md)": "[read](../README.md)",
    "[web](https://example.org/pictures/x.png)": "[web](https://example.org/pictures/x.png)",
    "[here](#A-part)": "[here](#A-part)",
    "[gone](no_such_file.ipynb)": "[gone](no_such_file.ipynb)",
    "`models['a'](pixels)`": "`models['a'](pixels)`",
}


@pytest.mark.parametrize("text", LINKS)
def test_links_lead_to_the_same_place_from_a_copy(text: str, course: Path, work: Path) -> None:
    (course / "lectures" / "pictures").mkdir()
    for name in ("lectures/pictures/x.png", "README.md"):
        (course / name).touch()
    write(course / "lectures", good("x = 1"), "43_next.ipynb")
    write(course / "lectures", notebook(f"md:# Title\n\n{text}", "![x](pictures/x.png)"))
    refresh(work)
    assert sources(work / NAMES[LECTURE]) == [f"# Title\n\n{LINKS[text]}", "![x](pictures/x.png)"]
    update_course(course)
    refresh(work)
    assert "y = 3" in sources(work / NAMES[LECTURE]), "a copy with links is unedited too"


def test_a_lesson_without_an_exercise_says_so(work: Path) -> None:
    with pytest.raises(UserError, match="Lesson 43 has no exercise"):
        start(Original(LessonFiles("43", "none"), EXERCISE), work)


def test_a_folder_that_cannot_be_written_is_one_sentence(work: Path) -> None:
    work.write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        refresh(work)
