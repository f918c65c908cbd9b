"""Requirements as they are read with the standard library alone, against ``packaging``."""

import tomllib
from itertools import product

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.cli import requirements
from helpers.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MACHINES = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64"), ("win32", "AMD64")]
# As they stand in an installed package's metadata, where the extra is part of the marker.
TEXTS = PROJECT["dependencies"] + [
    f"{text.partition(';')[0].strip()} ; extra == '{extra}'" + (f" and ({marker})" if marker else "")
    for extra, group in PROJECT["optional-dependencies"].items()
    for text in group
    for marker in [text.partition(";")[2].strip()]
]
ODD = [
    "Zope.Interface (>=5)",
    "ray[serve]>=2; python_version >= '3.9'",
    "a_b~=1.0; python_full_version<'3.11.5' or os_name == 'java'",
    "c!=2;platform_system in 'Linux Windows'",
    "d @ https://example.invalid/d.whl ; implementation_name != 'pypy'",
    "e===1; 'linux' not in sys_platform",
]


@pytest.mark.parametrize(("system", "kind"), MACHINES)
def test_the_same_names_as_packaging_finds(system: str, kind: str) -> None:
    values = requirements.machine() | {"sys_platform": system, "platform_machine": kind}
    groups = list(PROJECT["optional-dependencies"])
    for extras in ([], *([name] for name in groups), ["course", "dev"], groups):
        expected = set()
        for needed in map(Requirement, [*TEXTS, *ODD]):
            if needed.marker is None or any(
                needed.marker.evaluate({**values, "extra": extra}) for extra in ("", *extras)
            ):
                expected.add(canonicalize_name(needed.name))
        assert requirements.names([*TEXTS, *ODD], extras, values) == expected


def test_this_machine_is_described_as_packaging_describes_it() -> None:
    assert requirements.machine().items() <= default_environment().items()


@pytest.mark.parametrize(
    ("version", "operator"), [*product(["3.9", "3.11", "3.13"], ["<", "<=", ">", ">=", "==", "!="])]
)
def test_versions_are_compared_as_numbers(version: str, operator: str) -> None:
    marker = f"python_version {operator} '{version}'"
    needed = Requirement(f"x; {marker}")
    assert needed.marker is not None
    for running in ("3.9", "3.11", "3.12"):
        assert requirements.applies(marker, {"python_version": running}) == needed.marker.evaluate(
            {"python_version": running, "extra": ""}
        )


def test_what_is_no_marker_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a marker"):
        requirements.applies("__import__('os')", {})
