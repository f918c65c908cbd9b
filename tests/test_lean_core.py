"""``pip install .`` gives the lean core: enough to serve an ONNX model, and no framework.

A lean environment is made from the files of this one, so that the test needs no
network: exactly the packages that the wheel asks for, and what those ask for.
"""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.cli import COMMANDS
from helpers.cli.environment import Environment
from helpers.places import ROOT
from tests.store.models import multiply_by
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
    command = [sys.executable, "-m", "pip", "--python", str(environment.python), "install", "--quiet", "--no-index"]
    subprocess.run([*command, "--no-deps", str(wheel)], check=True)
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
    assert asked == {"httptools", "msgspec", "numpy", "onnxruntime", "orjson", "packaging", "pysimdjson", "uvloop"}
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


def servelab(lean: Environment, folder: Path, *arguments: str, **others: str) -> subprocess.CompletedProcess[str]:
    """The installed command, run by a user whose home is ``folder``."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SERVELAB_HOME")}
    places = {"HOME": str(folder), "XDG_DATA_HOME": "", "LOCALAPPDATA": str(folder / "AppData" / "Local")}
    command = [str(lean.scripts / "servelab"), *arguments]
    variables = own | places | others
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def files_of(lean: Environment) -> set[Path]:
    return {path for path in lean.folder.rglob("*") if "__pycache__" not in path.parts}


def test_doctor_is_about_serving_and_not_about_the_course(lean: Environment, tmp_path: Path) -> None:
    before = files_of(lean)
    told = json.loads(servelab(lean, tmp_path, "doctor", "--json").stdout)
    findings = {finding["name"]: finding for finding in told["findings"]}
    assert "CPU" in findings["providers"]["detail"]
    assert findings["packages"]["status"] == "note" and told["checkout"] is False
    last = servelab(lean, tmp_path, "doctor").stdout.splitlines()[-1]
    assert "ready for the course" not in last and "need a checkout" in last
    assert files_of(lean) == before


# What a command of an installed package says, with the lean core alone.
SAID = {
    "setup": (["setup"], "needs a checkout of the course"),
    "lab": (["lab"], "run in its folder: python3 -m helpers lab"),
    "test": (["test"], "run in its folder: python3 -m helpers test"),
    "start": (["start", "01"], "run in its folder: python3 -m helpers start 01"),
    "status": (["status"], "needs a checkout of the course"),
    "build": (["build"], "needs a checkout of the course"),
    "score": (["score", "digits", "rows.csv", "--into", "out"], "pip install 'servelab[batch]'"),
    "bench": (["bench", "runtime"], "pip install 'servelab[course]'"),
    "serve": (["serve", "digits"], "the store is empty: servelab store add"),
    "bundle": (["bundle", "digits"], "the store is empty: servelab store add"),
    "store": (["store", "show", "digits"], "the store is empty: servelab store add"),
    "image": (["image", "build", "nothing"], "make one: servelab bundle"),
    "target": (["target", "lambda", "nothing"], "make one: servelab bundle"),
    "package": (["package", "nothing"], "make one: servelab bundle"),
    "storr": (["storr"], "did you mean: servelab store"),
    "serve --moon": (["serve", "x", "--moon"], "servelab serve --help"),
}


def test_every_command_of_an_installed_package_is_in_the_table() -> None:
    assert {*COMMANDS} <= SAID.keys() | {"doctor"}


@pytest.mark.parametrize("name", SAID)
def test_a_command_of_an_installed_package_builds_nothing_and_says_what_to_do(
    lean: Environment, tmp_path: Path, name: str
) -> None:
    arguments, remedy = SAID[name]
    before = files_of(lean)
    ran = servelab(lean, tmp_path, *arguments)
    assert ran.returncode in (1, 2) and remedy in ran.stderr, ran.stdout + ran.stderr
    assert ran.stderr.count("\n") == 2 and "Traceback" not in ran.stderr
    assert files_of(lean) == before


def test_usage_is_spelled_as_it_is_typed(lean: Environment, tmp_path: Path) -> None:
    assert servelab(lean, tmp_path, "--help").stdout.startswith("usage: servelab COMMAND")
    for name in COMMANDS:
        said = servelab(lean, tmp_path, name, "--help").stdout
        assert said.startswith(f"usage: servelab {name}") and "python3 -m helpers" not in said


def test_models_are_kept_among_the_users_data(lean: Environment, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(multiply_by(2))
    before = files_of(lean)
    assert "Saved net:1" in servelab(lean, tmp_path, "store", "add", "net", "net.onnx").stdout
    (kept,) = tmp_path.rglob("net/1/model.json")
    assert kept.parts[-5:] == ("servelab", "store", "net", "1", "model.json")
    named = {"SERVELAB_HOME": str(tmp_path / "other")}
    assert "Saved net:1" in servelab(lean, tmp_path, "store", "add", "net", "net.onnx", **named).stdout
    assert (tmp_path / "other" / "store" / "net" / "1").is_dir()
    assert files_of(lean) == before


def test_a_bundle_of_other_packages_is_refused_with_the_command_to_run(lean: Environment, tmp_path: Path) -> None:
    """As one of the course's pins is, where a newer patch is installed."""
    (tmp_path / "net.onnx").write_bytes(multiply_by(2))
    servelab(lean, tmp_path, "store", "add", "net", "net.onnx")
    made = servelab(lean, tmp_path, "bundle", "net", "--into", "bundles")
    assert made.returncode == 0, made.stderr
    assert "servelab image build bundles" in made.stdout
    (bundle,) = (tmp_path / "bundles").iterdir()
    about = json.loads((bundle / "bundle.json").read_text())
    about["packages"]["orjson"] = "3.1.0"
    (bundle / "bundle.json").write_text(json.dumps(about))
    command = [str(lean.python), str(bundle / "run.py")]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "in place of 3.1.0" in ran.stderr
    assert f"{lean.python} -m pip install --requirement {bundle / 'requirements.txt'}" in ran.stderr.replace('"', "")
