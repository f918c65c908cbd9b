"""What a service needs, found by starting it once: its modules, the packages it loads, its models.

``main`` is run in a process of its own, so that nothing of the asker's is mistaken for the
service's, and prints JSON.
"""

import asyncio
import functools
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from helpers.engine.composition import Services
from helpers.engine.endpoint import Endpoint
from helpers.engine.registry import Registry
from helpers.engine.service import spec_of
from helpers.engine.targets import Target, name_of, resolve
from helpers.errors import UserError
from helpers.places import ROOT
from helpers.serving.describe.document import document
from helpers.store import Store
from helpers.wire.values import ImageValue

CORE = ("httptools", "msgspec", "numpy", "onnxruntime", "orjson", "pysimdjson", "uvloop")
OWN = {"servelab"}
PATIENCE = 300  # seconds


@dataclass(frozen=True)
class Needs:
    """All that a bundle is made of, by name."""

    name: str
    modules: tuple[str, ...]  # files of the service's own, relative to its folder
    packages: dict[str, str]  # distributions and their exact versions, with what they ask for
    models: dict[str, str]  # the tags that it opens, and the versions that they mean now
    openapi: dict[str, Any]


def find(target: str, folder: Path) -> Needs:
    """Start the service once, in another process, and see."""
    command = [sys.executable, "-c", f"import sys; from {__name__} import main; main(*sys.argv[1:])"]
    command += [target, str(folder)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=PATIENCE)
        found = json.loads(ran.stdout.strip().rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{target} did not start within {PATIENCE} seconds.", "start it by itself: python3 -m helpers serve"
        ) from None
    except ValueError:  # it said something else, or nothing
        raise UserError(
            f"{target} does not start.", ran.stderr.strip()[-800:] or f"{_ended(ran.returncode)}."
        ) from None
    if "sentence" in found:
        raise UserError(found["sentence"], found["remedy"], found["exit_code"])
    return Needs(found["name"], tuple(found["modules"]), found["packages"], found["models"], found["openapi"])


def _ended(code: int) -> str:
    return f"it was killed by signal {-code}: did memory run out?" if code < 0 else f"it ended with code {code}"


def look(target: str, folder: Path) -> Needs:
    """The same in this process, which is not the same afterwards."""
    models: dict[str, str] = {}
    _note_models(models)
    before = set(sys.modules)  # the kit's own; what it asks for itself is known
    resolved = resolve(target, folder)
    names = set(CORE)
    openapi = asyncio.run(_described(resolved))
    spec = spec_of(resolved)
    if spec is not None:
        values = [value for api in spec.apis.values() for value in (*api.parameters.values(), api.result)]
        names |= {"pillow"} if any(isinstance(value, ImageValue) for value in values) else set()
        names |= _distributions(sys.modules.keys() - before)
    name = name_of(resolved).split(":")[0]
    return Needs(name, _own_modules(folder), _closure(names - OWN), dict(sorted(models.items())), openapi)


async def _described(target: Target) -> dict[str, Any]:
    """What it will answer, from its start."""
    services = Services(Registry())
    try:
        endpoints: list[Endpoint] = []
        if isinstance(target, str):
            await services.registry.load(target)
        else:
            endpoints = list((await services.start(target)).values())
        told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document(endpoints, services.registry)))
        return told
    finally:
        services.close()
        services.registry.close()


def _note_models(models: dict[str, str]) -> None:
    """Each tag that is looked up from now on, and what it meant."""
    get = Store.get

    @functools.wraps(get)
    def noted(self: Store, tag: str) -> Any:
        stored = get(self, tag)
        models[tag] = stored.tag
        return stored

    Store.get = noted  # type: ignore[method-assign]


def _own_modules(folder: Path) -> tuple[str, ...]:
    """Files of modules that were loaded from the service's folder, and the packages that hold them."""
    found = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        path = Path(file).resolve() if file else None
        if path is not None and path.is_relative_to(folder.resolve()) and path.suffix == ".py":
            inside = path.relative_to(folder.resolve())
            if not path.is_relative_to(ROOT / "helpers") and not any(part.startswith(".") for part in inside.parts):
                found.add(inside.as_posix())
    return tuple(sorted(found))


def _distributions(modules: Iterable[str]) -> set[str]:
    """Who brought the modules that are loaded."""
    brought_by = importlib.metadata.packages_distributions()
    tops = {name.partition(".")[0] for name in modules}
    return {_normal(name) for top in tops for name in brought_by.get(top, ())}


def _closure(names: set[str]) -> dict[str, str]:
    """These distributions and all that they ask for, at the versions that are installed here."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    todo = [(name, frozenset[str]()) for name in sorted(names)]
    seen = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system, as uvloop on Windows
        found[name] = distribution.version.partition("+")[0]
        for text in distribution.requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                todo.append((_normal(needed.name), frozenset(needed.extras)))
    return dict(sorted(found.items()))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(target: str, folder: str) -> None:
    try:
        found = look(target, Path(folder))
        told: dict[str, Any] = asdict(found)
    except UserError as error:
        told = {"sentence": error.sentence, "remedy": error.remedy, "exit_code": error.exit_code}
    print(json.dumps(told))
