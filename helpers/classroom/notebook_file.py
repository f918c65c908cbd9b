"""Reading and writing .ipynb files, and taking the outputs out of them.

A notebook is JSON. It is written the way Jupyter writes it, so that a notebook
saved in the browser and one written here differ in nothing but what was changed.
"""

import json
from pathlib import Path
from typing import Any

from helpers import atomic_files
from helpers.errors import UserError

Notebook = dict[str, Any]
Cell = dict[str, Any]


def read(path: Path) -> Notebook:
    """Read a notebook of format 4.5 or later (cells have ids)."""
    try:
        notebook: Notebook = json.loads(path.read_text("utf-8"))
        for cell in notebook["cells"]:
            if isinstance(cell["source"], list):
                cell["source"] = "".join(cell["source"])
    except FileNotFoundError:
        raise UserError(f"There is no notebook {path}.", "check its name.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a notebook ({error}).", "restore it with: git checkout -- FILE") from None
    return notebook


def as_text(notebook: Notebook) -> str:
    """The text of the file: sources as lists of lines, so that a diff shows lines."""
    cells = [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    return json.dumps({**notebook, "cells": cells}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write(path: Path, notebook: Notebook) -> None:
    """Write a notebook; who reads meanwhile sees the old one or the new one."""
    atomic_files.write(path, as_text(notebook))


def strip(notebook: Notebook) -> Notebook:
    """A copy without outputs, execution counts and the traces that editors leave."""
    cells = []
    for cell in notebook["cells"]:
        kept = {key: cell[key] for key in ("cell_type", "id", "source")}
        kept["metadata"] = {key: cell["metadata"][key] for key in ("tags",) if key in cell["metadata"]}
        if cell["cell_type"] == "code":
            kept |= {"execution_count": None, "outputs": []}
        cells.append(kept)
    metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    if "servelab" in notebook["metadata"]:
        metadata["servelab"] = notebook["metadata"]["servelab"]
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def code_cells(notebook: Notebook) -> list[Cell]:
    """The cells that run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
