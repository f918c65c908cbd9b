"""``pip install .`` gives the lean core: enough to serve an ONNX model, and no framework.

A lean environment is made from the files of this one, so that the test needs no
network: exactly the packages that the wheel asks for, and what those ask for.
"""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.cli.environment import Environment
from helpers.places import ROOT
from tests.test_floors import FRAMEWORKS

HEAVY = FRAMEWORKS | {"onnx", "onnxscript", "jupyterlab", "matplotlib", "bentoml", "fastapi", "locust"}
CORE_ROOMS = ["serving", "engine", "wire", "store", "runtime"]


def closure(requirements: list[str]) -> dict[str, importlib.metadata.Distribution]:
    """The distributions that these requirements bring, and those that they bring in turn."""
    found: dict[str, importlib.metadata.Distribution] = {}
    todo = [Requirement(text) for text in requirements]
    while todo:
        needed = todo.pop()
        extras = needed.extras or {""}
        if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(needed.name)
        if name not in found:
            found[name] = importlib.metadata.distribution(name)
            todo += [Requirement(text) for text in found[name].requires or [] if "extra ==" not in text]
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def lean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    root = tmp_path_factory.mktemp("lean")
    environment = Environment(root)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment.folder)], check=True)
    for distribution in closure(requirements_of(wheel)).values():
        for file in distribution.files or []:
            source, target = Path(str(file.locate())), environment.site_packages / file
            if ".." in file.parts or "__pycache__" in file.parts or not source.is_file():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(environment.site_packages)
    return environment


def requirements_of(wheel: Path) -> list[str]:
    """What the wheel asks for when no extra is named."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(name).decode().splitlines()
    asked = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    return [text for text in asked if "extra ==" not in text]


def test_the_core_asks_for_what_serving_needs_and_no_more(wheel: Path) -> None:
    asked = {Requirement(text).name for text in requirements_of(wheel)}
    assert asked == {"httptools", "msgspec", "numpy", "onnxruntime", "orjson", "pysimdjson", "uvloop"}
    assert not HEAVY & set(closure(requirements_of(wheel)))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert "helpers" in tops and len(tops) == 2 and any(top.endswith(".dist-info") for top in tops)


def test_the_core_runs_with_the_lean_packages_alone(lean: Environment) -> None:
    program = """
import importlib, json, pkgutil, sys
import httptools, msgspec, numpy, onnxruntime, orjson, simdjson
import helpers
for room in sys.argv[1:]:
    package = importlib.import_module(f"helpers.{room}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
    rooms = [room for room in CORE_ROOMS if (ROOT / "helpers" / room).exists()]
    command = [str(lean.python), "-I", "-c", program, *rooms]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=lean.root)
    assert not HEAVY & set(json.loads(loaded.stdout))


def test_doctor_works_on_the_lean_core(lean: Environment) -> None:
    said = subprocess.run(
        [str(lean.python), "-m", "helpers", "doctor", "--json"],
        capture_output=True,
        text=True,
        cwd=lean.root,
        check=False,
    )
    findings = {finding["name"]: finding for finding in json.loads(said.stdout)["findings"]}
    assert "CPU" in findings["providers"]["detail"]
    assert findings["packages"]["status"] == "note"


def test_lab_outside_a_checkout_says_so(lean: Environment) -> None:
    said = subprocess.run(
        [str(lean.python), "-m", "helpers", "lab"], capture_output=True, text=True, cwd=lean.root, check=False
    )
    assert said.returncode == 1
    assert "is not a checkout of the course" in said.stderr and "Traceback" not in said.stderr
