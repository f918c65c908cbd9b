"""The README promises what is true today."""

import re

from helpers.classroom.lessons import all_lessons
from helpers.cli import COMMANDS
from helpers.places import ROOT

README = (ROOT / "README.md").read_text("utf-8")
ROWS = {match[1]: match[0] for match in re.finditer(r"^\| (\d\d) \|.*$", README, re.MULTILINE)}


def test_the_map_shows_every_lesson_with_its_minutes() -> None:
    there = {found.number: found for found in all_lessons()}
    assert there.keys() <= ROWS.keys()
    for number, row in ROWS.items():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if number in there:
            found = there[number]
            assert cells[1] == f"[{found.title}](notebooks/{found.lecture.name})"
            stated = [found.minutes.get("lecture"), found.minutes.get("exercise")]
            assert cells[3:] == [f"{minutes} min" if minutes else "" for minutes in stated]
        else:
            assert cells[3:] == ["to come", ""], f"lesson {number} does not exist yet"


def test_commands_files_and_rooms_exist() -> None:
    assert set(re.findall(r"python3 -m helpers (\w+)", README)) <= set(COMMANDS)
    for link in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (ROOT / link).exists(), link
    rooms = set(re.findall(r"^\| `helpers/(\w+)` \|", README, re.MULTILINE))
    assert rooms == {path.parent.name for path in (ROOT / "helpers").glob("*/__init__.py")}


def test_pictures_are_small_and_have_alt_text() -> None:
    for alt, picture in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README):
        assert len(alt) > 20
        assert (ROOT / picture).stat().st_size < 100_000
