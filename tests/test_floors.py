"""Imports go downstairs only, and the serving core knows no framework."""

import ast
from pathlib import Path

import pytest

from helpers.places import ROOT

HELPERS = ROOT / "helpers"

# The rooms that each room may import from, beside itself and the modules of helpers/ itself.
MAY_IMPORT = {
    "runtime": set(),
    "store": {"runtime"},
    "wire": {"runtime"},
    "engine": {"runtime", "store", "wire"},
    "serving": {"runtime", "store", "wire", "engine"},
    "convert": {"runtime"},
    "zoo": {"runtime", "convert"},
    "bench": {"runtime", "store", "wire", "engine", "serving", "convert", "zoo"},
    "deploy": {"runtime", "store", "wire", "engine", "serving", "convert", "zoo"},
    "classroom": {"runtime", "store", "wire", "engine", "serving", "convert", "zoo", "bench", "deploy"},
    "cli": {"runtime", "store", "wire", "engine", "serving", "convert", "zoo", "bench", "deploy", "classroom"},
}
FRAMEWORKS = {"torch", "torchvision", "tensorflow", "keras", "sklearn", "pandas", "xgboost", "lightgbm", "lightning"}


def imports(tree: ast.AST, everywhere: bool) -> set[str]:
    """The modules that a file imports: at its top level only, or inside functions too."""
    found = set()
    todo = list(ast.iter_child_nodes(tree))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their module in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        type_checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if everywhere or not (type_checking or inside):
            todo += ast.iter_child_nodes(node)
    return found


def wrong_imports(room: str, source: str) -> set[str]:
    """The rooms that a file of ``room`` imports from and may not."""
    found = imports(ast.parse(source), everywhere=True)
    rooms = {name.split(".")[1] for name in found if name.startswith("helpers.") and "." in name}
    return {other for other in rooms & MAY_IMPORT.keys() if other != room and other not in MAY_IMPORT[room]}


def frameworks_at_the_top(source: str) -> set[str]:
    """The frameworks that a file imports as soon as it is imported itself."""
    return {name.split(".")[0] for name in imports(ast.parse(source), everywhere=False)} & FRAMEWORKS


MODULES = sorted(HELPERS.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(HELPERS).as_posix())
def test_imports_go_downstairs(path: Path) -> None:
    source = path.read_text("utf-8")
    room = path.relative_to(HELPERS).parts[0]
    if room in MAY_IMPORT:
        assert not wrong_imports(room, source)
    else:
        assert path.parent == HELPERS, f"{room} is a room that no floor is known of"
    assert not frameworks_at_the_top(source), "frameworks are imported inside functions"


def test_the_rule_sees_what_breaks_it() -> None:
    assert wrong_imports("engine", "from helpers.zoo import digits") == {"zoo"}
    assert wrong_imports("store", "def f():\n    import helpers.classroom.tutor") == {"classroom"}
    assert wrong_imports("cli", "from helpers.classroom import lesson") == set()
    assert frameworks_at_the_top("import torch.nn") == {"torch"}
    assert frameworks_at_the_top("def f():\n    import torch") == set()
