"""What JupyterLab does before it saves one of the course's own notebooks: it leaves the outputs out."""

from pathlib import Path
from typing import Any

from helpers.classroom import notebook_file
from helpers.places import EXERCISES, LECTURES, SOLUTIONS


def without_outputs(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Jupyter's pre-save hook. Running an original then changes no file; copies keep their outputs."""
    place = Path(contents_manager.root_dir) / path.strip("/")
    if model["type"] == "notebook" and place.resolve().parent in (LECTURES, EXERCISES, SOLUTIONS):
        model["content"] = notebook_file.strip(model["content"])
