"""Older forms of delivery: a Python package with a command line, made from a bundle.

FOLDER/NAME-RELEASE-py3-none-any.whl    the same bundle gives the same bytes
FOLDER/NAME-RELEASE/                    what it was built from
    pyproject.toml               built by flit; asks for exactly the packages of the bundle
    README.md
    servelab_NAME/__init__.py
    servelab_NAME/__main__.py    NAME serve, NAME predict
    servelab_NAME/bundle/        the bundle, which still refuses to start when one of its files was changed
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers.deploy import package_command
from helpers.deploy.packing import Bundle
from helpers.deploy.system import PACKAGES, packages_layer
from helpers.deploy.unfinished import unfinished
from helpers.errors import UserError
from helpers.installed import expect_installed

EARLIEST = "315532800"  # the first moment of 1980, before which a zip file knows no time
PROJECT = """\
[build-system]
requires = ["flit-core>=3.11,<5"]
build-backend = "flit_core.buildapi"

[project]
name = "{name}"
version = "{release}"
description = "The service {target}, with its models: bundle {version}."
readme = "README.md"
requires-python = ">={python}"
dependencies = [
{dependencies}
]

[project.scripts]
{name} = "{module}.__main__:main"

[tool.flit.module]
name = "{module}"
"""
INIT = '''\
"""The service {target}, packed by ServeLab.

    python -m {module} serve --port 3000
    uvicorn --factory {module}:application      a server of another kind
"""

from typing import Any


def application() -> Any:
    """The service as an ASGI application; the files of the bundle are checked first."""
    from {module}.__main__ import bundle_entry

    return bundle_entry().application()
'''
README = """\
# {name}

The service `{target}` as a Python package, with all that it needs. Packed by ServeLab.

```
pip install {name}-{release}-py3-none-any.whl
{name} --version
{name} serve --port 3000
{name} predict request.json
```

`request.json` holds what would be sent to the service over HTTP. The files are checked at each start:
one that was changed is refused. The module to import is `{module}`: `python -m {module}` is the command too, and
`{module}.application()` gives the service as an ASGI application.
"""


@dataclass(frozen=True)
class Package:
    """A project that was written, and its wheel."""

    folder: Path
    name: str
    module: str
    release: str
    wheel: Path
    bundle: Bundle


def package(
    bundle: Bundle, into: Path, name: str | None = None, release: str = "0.1.0", say: Callable[[str], None] = print
) -> Package:
    """Write a project around a bundle, and build its wheel; no network is needed."""
    expect_installed("Building a package", ["flit_core"])
    if changed := bundle.changed():
        raise UserError(f"{bundle.path.name} was changed after it was packed: {changed[0]}.", "bundle it again.")
    name = _name_for(bundle, name)
    if not re.fullmatch(r"\d+(\.\d+)*((a|b|rc)\d+)?", release):
        raise UserError(f"{release!r} is no release.", "write it as 1.0, 1.0.2 or 2.0rc1.", 2)
    module = f"servelab_{name.replace('-', '_')}"  # no module of the service's, which lies inside, is called so
    whole, wheel = into / f"{name}-{release}", into / f"{name.replace('-', '_')}-{release}-py3-none-any.whl"
    for there in (whole, wheel):
        if there.exists():
            raise UserError(f"{there} is there already.", "a release does not change: name another with --release.", 2)
    with unfinished(into, ".package-") as place:
        beside = place / "project"
        _write(beside, bundle, name, module, release)
        say(f"building {name} {release}")
        built = _build(beside, place / "dist")
        beside.replace(whole)
        try:
            built.replace(wheel)
        except OSError:
            shutil.rmtree(whole)
            raise
    return Package(whole, name, module, release, wheel, bundle)


def installed(made: Package, folder: Path) -> Path:
    """Install a wheel into a fresh environment, whose packages are linked from this one; its command."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    python = scripts / Path(sys.executable).name
    told = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([str(python), "-c", told], capture_output=True, text=True, check=True).stdout.strip())
    for entry in packages_layer(list(made.bundle.packages)).entries:
        target = site / entry.path.removeprefix(PACKAGES.lstrip("/") + "/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(Path(str(entry.source)).resolve())
    # --no-index: what the wheel asks for must be there already, or this fails.
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index"]
    ran = subprocess.run([*command, str(made.wheel)], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise UserError(f"{made.wheel.name} cannot be installed: {ran.stderr.strip()[-300:]}", "build it again.")
    return scripts / made.name


def tried(made: Package) -> str:
    """Install it into an environment that is gone afterwards; what its command says of itself there."""
    with tempfile.TemporaryDirectory(prefix="servelab-try-") as place:
        command = installed(made, Path(place) / "environment")
        ran = subprocess.run([str(command), "--version"], capture_output=True, text=True, check=False, cwd=place)
    if ran.returncode != 0:
        raise UserError(f"{made.name} does not run: {ran.stderr.strip()[-300:]}", "build it again.")
    return ran.stdout.strip()


def _name_for(bundle: Bundle, name: str | None) -> str:
    """A name that Python packages may have, and none of those that this one asks for."""
    found = re.sub(r"[-_.]+", "-", name or bundle.name).lower()
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", found):
        raise UserError(f"{name or bundle.name!r} is no name for a package.", "use letters, digits and -: --name", 2)
    if found in bundle.packages or found in ("pip", "python", "servelab"):
        raise UserError(f"{found} is another package's name, and this one needs it.", "choose another: --name", 2)
    return found


def _write(beside: Path, bundle: Bundle, name: str, module: str, release: str) -> None:
    about = json.loads((bundle.path / "bundle.json").read_text("utf-8"))
    windows = {"uvloop": "; sys_platform != 'win32'"}
    asked = (f'    "{each}=={version}{windows.get(each, "")}",' for each, version in sorted(bundle.packages.items()))
    told = {"name": name, "release": release, "module": module, "target": bundle.target, "version": bundle.version}
    inside = beside / module
    for each in [*bundle.files, "bundle.json"]:
        target = inside / "bundle" / each
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / each, target)
    _text(beside / "pyproject.toml", PROJECT.format(**told, python=about["python"], dependencies="\n".join(asked)))
    _text(beside / "README.md", README.format(**told))
    _text(inside / "__init__.py", INIT.format(**told))
    _text(inside / "__main__.py", Path(package_command.__file__).read_text("utf-8"))


def _text(path: Path, text: str) -> None:
    path.write_text(text, "utf-8", newline="\n")


def _build(project: Path, into: Path) -> Path:
    """The wheel of a project."""
    into.mkdir()
    command = [sys.executable, "-m", "flit_core.wheel", "--outdir", str(into), str(project)]
    told = os.environ | {"SOURCE_DATE_EPOCH": EARLIEST}
    ran = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise UserError(f"flit did not build it: {(ran.stderr.strip().splitlines() or ['?'])[-1]}", "see its message.")
    (wheel,) = into.glob("*.whl")
    return wheel
