"""Notebooks made for a test."""

from pathlib import Path
from typing import Any

from helpers.classroom import notebook_file
from helpers.classroom.lint import READY_LINE

OPENING = "# 42 A lesson\n\n**You will be able to**\n\n- x\n\n**Before this:** nothing\n\n**Minutes:** 25"
CLOSING = "## Recap\n\nx\n\n## Knowledge check\n\nx\n\n## Read on\n\nx"


def notebook(*cells: str) -> dict[str, Any]:
    """Cells from text: what begins with ``md:`` is prose, all else is code."""
    made = []
    for number, text in enumerate(cells):
        prose = text.startswith("md:")
        cell = {"cell_type": "markdown" if prose else "code", "id": f"cell-{number}", "metadata": {}}
        cell["source"] = text.removeprefix("md:")
        made.append(cell if prose else {**cell, "execution_count": None, "outputs": []})
    return notebook_file.strip({"cells": made, "metadata": {}})


def good(*cells: str) -> dict[str, Any]:
    """A notebook that breaks no rule, with these cells in the middle."""
    return notebook(f"md:{OPENING}", READY_LINE, *cells, f"md:{CLOSING}")


def write(folder: Path, made: dict[str, Any], name: str = "42_made.ipynb") -> Path:
    notebook_file.write(folder / name, made)
    return folder / name
