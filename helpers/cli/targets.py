"""Targets as people type them: a file or a folder where a name is needed is refused with the command to use."""

import ast
import re
import shlex
from pathlib import Path

from helpers.errors import UserError

# Models that the store does not take as a file; what makes an ONNX file of each.
OTHER_MODELS = (".pkl", ".pickle", ".joblib", ".keras", ".h5", ".pt", ".pth", ".safetensors", ".tflite", ".ubj")


def expect_target(named: str, command: str) -> None:
    """Refuse what is the path of a file or a folder; ``command`` is serve, bundle or score."""
    path, _, service = named.partition(":") if not re.match(r"[A-Za-z]:[\\/]", named) else (named, "", "")
    found, ending = Path(path), Path(path).suffix.lower()
    if _in_store(path):  # a model's name may have a dot in it
        return
    if ending == ".onnx":
        name = _name_for(found)
        raise UserError(
            f"{path} is {_a_file(found)}, and {command} takes a model of the store.",
            f"python3 -m helpers store add {name} {shlex.quote(path)}, then: python3 -m helpers {command} {name}",
            2,
        )
    if ending in (".py", ".ipynb"):
        raise UserError(
            f"{named} is {_a_file(found)}, and {command} takes a module and its class.",
            _module(found, service, command),
            2,
        )
    if ending in OTHER_MODELS:
        raise UserError(
            f"{path} is {_a_file(found)}, and {command} takes an ONNX model of the store, or a service.",
            "export it to ONNX first (lessons 01 and 02: helpers.convert.to_onnx), and add that file: "
            f"python3 -m helpers store add {_name_for(found)} {_name_for(found)}.onnx",
            2,
        )
    if "/" in path or "\\" in path or (found.is_dir() and not service):
        _refuse_folder(named, found, command)


def _refuse_folder(named: str, found: Path, command: str) -> None:
    if (found / "bundle.json").is_file():
        remedy = f"start it: python {shlex.quote(str(found / 'run.py'))}"
    elif (found / "saved_model.pb").is_file():
        remedy = f"keep it in the store: python3 -m helpers store add {_name_for(found)} {shlex.quote(str(found))}"
    elif (found / "__init__.py").is_file():
        remedy = _module(found / "__init__.py", "", command)
    elif found.is_dir() and (models := sorted(found.glob("*.onnx"))):
        remedy = f"python3 -m helpers store add {_name_for(models[0])} {shlex.quote(str(models[0]))}"
    else:
        remedy = (
            f"name a service, python3 -m helpers {command} module:Service, or a model: python3 -m helpers store list"
        )
    what = "a folder" if found.is_dir() else "a path"
    raise UserError(f"{named} is {what}, and {command} takes a service or a model of the store.", remedy, 2)


def _module(file: Path, service: str, command: str) -> str:
    """The command for a Python file: its module as it is imported from this folder, and a service in it."""
    if file.suffix == ".ipynb":
        return "write the service into a .py file, or serve it in the notebook: helpers.serving.serve(Service)"
    services = [service] if service.isidentifier() else _services(file)
    place, module = file.parent, file.with_suffix("")
    if file.is_absolute() or ".." in file.parts:
        before, module = f"cd {shlex.quote(str(place))} && ", Path(module.name)
    else:
        before = ""
    named = ".".join(part for part in module.parts if part not in (".", "__init__"))
    first = f"{before}python3 -m helpers {command} {named}:{services[0] if services else 'Service'}"
    if not file.is_file():
        return f"check its name; then: {first}"
    if not services:
        return f"mark a class in it with @service; then: {first}"
    others = f" (or {', '.join(services[1:])})" if services[1:] else ""
    return f"{first}{others}"


def _services(file: Path) -> list[str]:
    """The classes of a file that are marked with ``@service``, without importing it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return [each.name for each in classes if any("'service'" in ast.dump(mark) for mark in each.decorator_list)]


def _a_file(path: Path) -> str:
    return "a file" if path.exists() else "the name of a file"


def _name_for(path: Path) -> str:
    """A name for the store, made of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "model"


def _in_store(name: str) -> bool:
    from helpers.store import Store

    return name in Store().names()
