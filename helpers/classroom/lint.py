"""The rules of the course's notebooks, each a function that yields what breaks it."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from helpers.classroom import notebook_file, regions
from helpers.classroom.notebook_file import Cell, Notebook
from helpers.classroom.package_lint import announces_extras_fully, uses_the_courses_packages
from helpers.errors import UserError

FIRST_CELL_NEEDS = ["**You will be able to**", "**Before this:**", "**Minutes:**"]
LAST_CELL_NEEDS = ["## Recap", "## Knowledge check", "## Read on"]
READY_LINE = "from helpers import classroom; classroom.ready()"
MOST_CELLS = 40
MOST_LINES = 30
MOST_COLUMNS = 100  # what JupyterLab shows on a laptop without scrolling

NETWORK = re.compile(
    r"(urlopen|urlretrieve|requests\.\w+|httpx\.\w+)\(\s*f?[\"']https?://(?!127\.0\.0\.1|localhost)"
    r"|torch\.hub|pretrained\s*=\s*True|weights\s*=\s*[\"'\w.]*(DEFAULT|IMAGENET)|download\s*=\s*True|\bfetch_\w+\("
)
SHELL = re.compile(r"^\s*(!|%\s*(pip|conda|system|sx)|%%\s*(bash|sh|cmd))", re.MULTILINE)
SLEEP = re.compile(r"\btime\.sleep\(")
MARKDOWN_IMAGE = re.compile(r"!\[([^\]]*)\]\(")
HTML_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
ABSOLUTE_PATH = re.compile(r"[\"'](/(home|Users|tmp|root|opt|mnt)/|[A-Za-z]:\\\\)")


def lint(path: Path, is_solution: bool = False) -> list[str]:
    """All that breaks a rule in one notebook, as ``file, cell N: what``."""
    notebook = notebook_file.read(path)
    found = [f"{path.name}: {problem}" for rule in NOTEBOOK_RULES for problem in rule(notebook)]
    for index, cell in enumerate(notebook["cells"]):
        for rule in CODE_RULES if cell["cell_type"] == "code" else PROSE_RULES:
            found += [f"{path.name}, cell {index}: {problem}" for problem in rule(cell)]
        if not is_solution and regions.ANY_MARK.search(cell["source"]):
            found.append(f"{path.name}, cell {index}: a solution's mark outside a solution")
    return found


# The notebook as a whole


def is_stripped(notebook: Notebook) -> Iterator[str]:
    for index, cell in enumerate(notebook["cells"]):
        if cell.get("outputs") or cell.get("execution_count"):
            yield f"cell {index} has outputs; run: python3 -m helpers build"


def has_stable_ids(notebook: Notebook) -> Iterator[str]:
    ids = [cell.get("id", "") for cell in notebook["cells"]]
    if len(set(ids)) < len(ids) or not all(ids):
        yield "cells need ids, each its own"


def is_short(notebook: Notebook) -> Iterator[str]:
    if len(notebook["cells"]) > MOST_CELLS:
        yield f"{len(notebook['cells'])} cells, and at most {MOST_CELLS} can be taught"


def opens_and_closes_well(notebook: Notebook) -> Iterator[str]:
    cells = notebook["cells"]
    if len(cells) < 3:
        yield "too short to open and close"
        return
    first, second, last = cells[0], cells[1], cells[-1]
    yield from (f"the first cell lacks {needed}" for needed in FIRST_CELL_NEEDS if needed not in first["source"])
    if second["cell_type"] != "code" or second["source"] != READY_LINE:
        yield f"the second cell must be: {READY_LINE}"
    yield from (f"the last cell lacks {needed}" for needed in LAST_CELL_NEEDS if needed not in last["source"])


def has_headings_in_order(notebook: Notebook) -> Iterator[str]:
    level = 0
    for index, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "markdown":
            continue
        text = re.sub(r"```.*?```", "", cell["source"], flags=re.DOTALL)
        for marks, title in re.findall(r"^(#+) (.+)$", text, re.MULTILINE):
            depth = len(marks)
            if depth > level + 1:
                yield f"cell {index}: the heading {title!r} skips a level"
            if depth == 1 and level:
                yield f"cell {index}: a second title, {title!r}"
            level = depth


def has_well_formed_regions(notebook: Notebook) -> Iterator[str]:
    try:
        list(regions.regions(notebook))
    except UserError as error:
        yield str(error)


# One cell of prose


def has_alt_text(cell: Cell) -> Iterator[str]:
    if any(not alt.strip() for alt in MARKDOWN_IMAGE.findall(cell["source"])):
        yield "a picture without alt text"
    yield from html_images_have_alt(cell["source"])


def html_images_have_alt(text: str) -> Iterator[str]:
    """Also for what a cell displays."""
    for image in HTML_IMAGE.findall(text):
        if not re.search(r"\balt=(\"[^\"]+\"|'[^']+')", image):
            yield f"a picture without alt text: {image[:60]}"


def has_calm_prose(cell: Cell) -> Iterator[str]:
    text = re.sub(r"```.*?```|`[^`]*`|!\[", "", cell["source"], flags=re.DOTALL)
    if "!" in text:
        yield "an exclamation mark"
    yield from has_no_emoji(cell)


def has_no_emoji(cell: Cell) -> Iterator[str]:
    for character in cell["source"]:
        if unicodedata.category(character) == "So" and ord(character) > 0x25FF:
            yield f"an emoji or dingbat: {character}"


# One cell of code


def calls_no_shell(cell: Cell) -> Iterator[str]:
    if SHELL.search(cell["source"]):
        yield "a shell command; the environment is made by setup, and Windows has another shell"


def needs_no_network(cell: Cell) -> Iterator[str]:
    if NETWORK.search(cell["source"]):
        yield "a download: the course runs offline"


def waits_for_events(cell: Cell) -> Iterator[str]:
    if SLEEP.search(cell["source"]):
        yield "time.sleep: wait for what must happen instead"


def names_no_machine(cell: Cell) -> Iterator[str]:
    if ABSOLUTE_PATH.search(cell["source"]):
        yield "an absolute path"


def holds_one_idea(cell: Cell) -> Iterator[str]:
    lines = len(cell["source"].splitlines())
    if lines > MOST_LINES:
        yield f"{lines} lines, and {MOST_LINES} are enough for one idea"


def fits_the_screen(cell: Cell) -> Iterator[str]:
    for number, line in enumerate(cell["source"].splitlines(), start=1):
        if len(line) > MOST_COLUMNS:
            yield f"line {number} is {len(line)} characters long, and {MOST_COLUMNS} fit the screen"


Rule = Callable[[Notebook], Iterator[str]]
NOTEBOOK_RULES: list[Rule] = [
    is_stripped,
    has_stable_ids,
    is_short,
    opens_and_closes_well,
    has_headings_in_order,
    has_well_formed_regions,
    uses_the_courses_packages,
    announces_extras_fully,
]
PROSE_RULES: list[Rule] = [has_alt_text, has_calm_prose]
CODE_RULES: list[Rule] = [
    calls_no_shell,
    needs_no_network,
    waits_for_events,
    names_no_machine,
    holds_one_idea,
    fits_the_screen,
    has_no_emoji,
]
