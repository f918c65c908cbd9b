"""What a service's source mentions and its start did not show: imports and models in functions, names of files.

A start runs ``__init__`` and no method. What a method imports of the service's own folder is packed;
of the rest the user is shown what may be missing.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from helpers.engine.own_modules import package_folder

MISSING_MODULE = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
LOADERS = {"load", "depends"}  # of the store, and of a service


@dataclass
class Mentions:
    """Each with where it stands: ``shop.py, line 12``."""

    modules: list[str] = field(default_factory=list)  # files of the service's own
    folders: list[str] = field(default_factory=list)  # its packages
    imports: dict[str, str] = field(default_factory=dict)  # of other packages, in functions
    tags: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)  # names of files and folders that exist


def scan(folder: Path, modules: Sequence[str], roots: Sequence[str]) -> Mentions:
    """Read the modules that were loaded, and those of the same folder that they import later."""
    found = Mentions()
    places = list(dict.fromkeys([folder, *(folder / root for root in roots)]))
    todo = [(name, True) for name in modules if name.endswith(".py")]
    seen = set(modules)
    while todo:
        name, was_loaded = todo.pop(0)
        try:
            tree = ast.parse((folder / name).read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        _literals(tree, name, folder, found)
        for module, line, guarded in _imports(tree, name, was_loaded):
            top = module.partition(".")[0]
            own = _own_files(module, places) if top != "helpers" else []
            for path in own:
                inside = path.relative_to(folder).as_posix()
                package = package_folder(module, path)
                if package is not None and package.is_relative_to(folder):
                    found.folders.append(package.relative_to(folder).as_posix())
                if inside not in seen:
                    seen.add(inside)
                    found.modules.append(inside)
                    todo.append((inside, False))
            is_own = top != "helpers" and any(
                (place / top).is_dir() or (place / f"{top}.py").is_file() for place in places
            )
            if not is_own and not guarded and top not in sys.stdlib_module_names:
                found.imports.setdefault(top if top != "helpers" else module, f"{name}, line {line}")
    return found


def _imports(tree: ast.AST, name: str, was_loaded: bool) -> Iterator[tuple[str, int, bool]]:
    """Modules, the lines that import them, and whether their absence is caught.

    Of a module that was loaded only imports inside functions count: the others have run.
    """

    def visit(node: ast.AST, counts: bool, guarded: bool) -> Iterator[tuple[str, int, bool]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for each in node.orelse:
                yield from visit(each, counts, guarded)
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            counts = True
        if isinstance(node, ast.Try) and any(_catches_absence(each) for each in node.handlers):
            for inside in node.body:
                yield from visit(inside, counts, True)
            for other in (*node.handlers, *node.orelse, *node.finalbody):
                yield from visit(other, counts, guarded)
            return
        if counts:
            yield from ((module, node.lineno, guarded) for module in _imported(node, name))  # type: ignore[attr-defined]
        for child in ast.iter_child_nodes(node):
            yield from visit(child, counts, guarded)

    yield from visit(tree, not was_loaded, False)


def _imported(node: ast.AST, name: str) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [each.name for each in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            base = module or ""
            if level:
                above = Path(name).parts[:-level]
                base = ".".join([*above, *([module] if module else [])])
            return [base, *(f"{base}.{each.name}".lstrip(".") for each in names)] if base else [e.name for e in names]
        case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module)), *_]):
            return [module]
    return []


def _catches_absence(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(each, ast.Name) and each.id in MISSING_MODULE for each in ast.walk(handler.type))


def _own_files(module: str, places: Sequence[Path]) -> list[Path]:
    """The files that importing a module of the service's folder would load; none if it is not one of them."""
    parts = module.split(".")
    for place in places:
        last = place.joinpath(*parts)
        file = last.with_suffix(".py") if last.with_suffix(".py").is_file() else last / "__init__.py"
        if parts != [""] and file.is_file():
            packages = (place.joinpath(*parts[:depth]) / "__init__.py" for depth in range(1, len(parts)))
            return [each for each in packages if each.is_file()] + [file]
    return []


def _literals(tree: ast.AST, name: str, folder: Path, found: Mentions) -> None:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr=called) | ast.Name(id=called), args=[ast.Constant(value=str(tag)), *_]
            ):
                where = f"{name}, line {node.lineno}"
                if called in LOADERS:
                    found.tags.setdefault(tag, where)
                elif called == "getenv" or (called == "get" and "environ" in ast.dump(node.func)):
                    found.variables.setdefault(tag, where)
            case ast.Subscript(value=value, slice=ast.Constant(value=str(key))) if "environ" in ast.dump(value):
                found.variables.setdefault(key, f"{name}, line {node.lineno}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            _path(node.value, f"{name}, line {node.lineno}", [(folder / name).parent, folder], folder, found)


def _path(text: str, where: str, places: Sequence[Path], folder: Path, found: Mentions) -> None:
    """Note a text that is the name of a file or folder beside the module, or in the service's folder."""
    if not 0 < len(text) < 200 or "\n" in text or text.strip("./") == "" or Path(text).is_absolute() or "\0" in text:
        return
    for place in places:
        path = Path(place / text)
        try:
            exists = path.exists() and path.resolve().is_relative_to(folder)
        except (OSError, ValueError):
            continue
        if exists and ".." not in Path(text).parts:
            found.paths.setdefault(path.relative_to(folder).as_posix(), where)
            return
