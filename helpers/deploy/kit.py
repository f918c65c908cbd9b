"""What of this package a bundle holds: the rooms that serve, and the modules beside them that those import."""

import ast
from pathlib import Path

from helpers.places import ROOT

ROOMS = ("engine", "runtime", "serving", "store", "wire")


def kit_files() -> list[Path]:
    """Paths relative to the folder that holds ``helpers``."""
    package = ROOT / "helpers"
    found = {package / "__init__.py"}
    for room in ROOMS:
        found |= {path for path in (package / room).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    todo = [path for path in found if path.suffix == ".py"]
    while todo:
        for path in _beside(todo.pop(), package) - found:
            found.add(path)
            todo.append(path)
    return sorted(path.relative_to(ROOT) for path in found)


def _beside(source: Path, package: Path) -> set[Path]:
    """Modules that lie directly in the package, such as ``helpers.errors``, and that this file imports."""
    named = set()
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        elif isinstance(node, ast.Import):
            named |= {each.name for each in node.names}
    parts = (name.split(".") for name in named if name.startswith("helpers."))
    return {path for each in parts if (path := package / f"{each[1]}.py").is_file()}
