"""What a service needs, found by starting it once: its modules, its files, the packages it loads, its models.

``main`` runs in a process of its own, so that nothing of the caller's is mistaken for the
service's, and writes JSON.
"""

import asyncio
import functools
import json
import os
import sys
import sysconfig
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from helpers.deploy.child_process import ChildProcess
from helpers.deploy.file_access import FileAccess
from helpers.deploy.requirements import closure, distributions_of
from helpers.engine.composition import Services
from helpers.engine.endpoint import Endpoint
from helpers.engine.own_modules import file_of, own_modules, package_folder
from helpers.engine.registry import Registry
from helpers.engine.service import spec_of
from helpers.engine.targets import Target, name_of, resolve
from helpers.errors import UserError
from helpers.places import ROOT, lab_home
from helpers.serving.describe.document import document
from helpers.store import Store
from helpers.wire.values import ImageValue

CORE = ("httptools", "msgspec", "numpy", "onnxruntime", "orjson", "pysimdjson", "uvloop")
OWN = {"servelab"}
START_SECONDS = 300.0


@dataclass(frozen=True)
class Needs:
    """All that a bundle is made of, by name. Paths are relative to the service's folder, with slashes."""

    name: str
    modules: tuple[str, ...]  # files of the service's own modules
    packages: dict[str, str]  # distributions and their exact versions, with what they depend on
    models: dict[str, str]  # the tags that it opens, and the versions that they mean now
    openapi: dict[str, Any]
    files: tuple[str, ...] = ()  # other files that it read at its start
    written: tuple[str, ...] = ()  # files that it wrote at its start
    folders: tuple[str, ...] = ()  # its packages
    roots: tuple[str, ...] = ()  # where it imports its own modules from
    declared: dict[str, tuple[str, ...]] = field(default_factory=dict)  # @service(files=…), by the module's file
    elsewhere: dict[str, str] = field(default_factory=dict)  # modules that are neither its own nor installed


def find(target: str, folder: Path, seconds: float = START_SECONDS) -> Needs:
    """Start the service once, in another process and in its own folder, and see."""
    folder = folder.resolve()
    with tempfile.TemporaryDirectory(prefix="servelab-needs-") as place:
        answer = Path(place) / "needs.json"
        code = f"import sys; from {__name__} import main; main(*sys.argv[1:])"
        # -P: a module of the service's is not mistaken for one of Python's.
        command = [sys.executable, "-P", "-c", code, target, str(folder), str(answer)]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with ChildProcess(command, folder, {**os.environ, "PYTHONPATH": path}, seconds) as child:
            try:
                for _ in child.lines():
                    pass
            except TimeoutError:
                raise UserError(
                    f"{target} did not start within {seconds:g} seconds.",
                    f"start it by itself: python3 -m helpers serve {target}; or allow it more: --timeout SECONDS",
                ) from None
            code_, stderr = child.wait(seconds), child.stderr()
        try:
            found = msgspec.json.decode(answer.read_bytes())
        except (OSError, ValueError):  # it did not come so far
            raise UserError(f"{target} does not start.", stderr.strip()[-800:] or f"{_ended(code_)}.") from None
    if "sentence" in found:
        raise UserError(found["sentence"], found["remedy"], found["exit_code"])
    return msgspec.convert(found, Needs)


def _ended(code: int) -> str:
    return f"it was killed by signal {-code}: did memory run out?" if code < 0 else f"it ended with code {code}"


def look(target: str, folder: Path) -> Needs:
    """The same in this process, which is not the same afterwards."""
    models: dict[str, str] = {}
    _note_models(models)
    before = set(sys.modules)  # the kit's own; what it asks for itself is known
    access = FileAccess(folder)
    resolved = resolve(target, folder)
    names = set(CORE)
    openapi, services = asyncio.run(_described(resolved))
    access.stop()
    loaded = sys.modules.keys() - before
    spec = spec_of(resolved)
    if spec is not None:
        values = [value for api in spec.apis.values() for value in (*api.parameters.values(), api.result)]
        names |= {"pillow"} if any(isinstance(value, ImageValue) for value in values) else set()
        names |= distributions_of(loaded)
    own = own_modules(folder)
    packages = [package_folder(*each) for each in own.items()]
    return Needs(
        name_of(resolved).split(":")[0],
        tuple(sorted({_inside(path, folder) for path in own.values()})),
        closure(names - OWN),
        dict(sorted(models.items())),
        openapi,
        files=tuple(sorted(name for name in access.read - access.written if _is_data(folder / name))),
        written=tuple(sorted(access.written)),
        folders=tuple(sorted({_inside(each, folder) for each in packages if each and _is_in(each, folder)})),
        roots=tuple(_inside(Path(each), folder) for each in dict.fromkeys(sys.path) if _is_in(Path(each), folder)),
        declared=_declared(services, own, folder),
        elsewhere=_elsewhere(loaded, own),
    )


async def _described(target: Target) -> tuple[dict[str, Any], list[type]]:
    """What it will answer, from its start; and the services that this start needed."""
    services = Services(Registry())
    try:
        endpoints: list[Endpoint] = []
        if isinstance(target, str):
            await services.registry.load(target)
        else:
            endpoints = list((await services.start(target)).values())
        told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document(endpoints, services.registry)))
        return told, list(services.endpoints)
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


def _declared(services: list[type], own: dict[str, Path], folder: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for cls in services:
        spec = spec_of(cls)
        if spec is not None and spec.files and (file := own.get(cls.__module__)):
            at = _inside(file, folder)
            found[at] = (*found.get(at, ()), *spec.files)
    return found


def _elsewhere(loaded: set[str], own: dict[str, Path]) -> dict[str, str]:
    """Modules from folders that no bundle has: neither the service's own, nor of an installed package, nor Python's."""
    installed = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = {}
    for name in loaded - own.keys():
        path = file_of(sys.modules.get(name))
        known = [*installed, ROOT / "helpers"]
        if path is not None and "." not in name and not any(path.is_relative_to(each) for each in known):
            home = path.parent.parent if path.stem == "__init__" else path.parent
            if not any(home.glob("*.dist-info")):
                found[name] = str(home)
    return dict(sorted(found.items()))


def _is_data(path: Path) -> bool:
    """False for what is not the service's own: this kit, its store, Python's environment, and bytecode."""
    others = (ROOT / "helpers", lab_home(), Path(sys.prefix), Path(sys.base_prefix))
    return "__pycache__" not in path.parts and not any(path.is_relative_to(each) for each in others)


def _is_in(path: Path, folder: Path) -> bool:
    return path.is_absolute() and path.is_relative_to(folder)


def _inside(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def main(target: str, folder: str, answer: str) -> None:
    try:
        told: dict[str, Any] = asdict(look(target, Path(folder)))
    except UserError as error:
        told = {"sentence": error.sentence, "remedy": error.remedy, "exit_code": error.exit_code}
    Path(answer).write_text(json.dumps(told), "utf-8")
