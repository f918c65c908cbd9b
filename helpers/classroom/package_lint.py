"""The rule for packages: a notebook uses what the course's environment has, or announces what it lacks."""

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.classroom import notebook_file
from helpers.classroom.notebook_file import Notebook
from helpers.places import ROOT

# Also in the text of a module that a cell writes, and in a question whether a package is there.
IMPORT = re.compile(r"^\s*(?:from\s+([A-Za-z_]\w*)[\w.]*\s+import\b|import\s+([A-Za-z_][\w., ]*))", re.MULTILINE)
LOOKED_UP = re.compile(r"\b(?:is_installed|find_spec|import_module)\(\s*[\"']([A-Za-z_]\w*)")
EXTRA = re.compile(r"setup --extra (\w+)")
PIP_INSTALL = re.compile(r"pip install ([^`\n]+)")


def extras_named_in(opening: str) -> set[str]:
    """The extras whose command stands in a notebook's first cell."""
    return set(EXTRA.findall(opening))


def uses_the_courses_packages(notebook: Notebook) -> Iterator[str]:
    """What an extra brings may be used if the first cell names the command that installs it."""
    opening = notebook["cells"][0]["source"] if notebook["cells"] else ""
    announced = {name for extra in extras_named_in(opening) for name in _closure(("course", extra))}
    for words in PIP_INSTALL.findall(opening):
        announced |= {canonicalize_name(re.split(r"[=<>~\[]", word)[0]) for word in words.split() if word[0] != "-"}
    source = "\n".join(cell["source"] for cell in notebook_file.code_cells(notebook))
    there = _closure(("course",)) | announced
    for module in sorted(_modules(source)):
        if not _packages_of(module) <= there:
            yield f"{module} is not in the course's environment, and the first cell names no extra that brings it"


def announces_extras_fully(notebook: Notebook) -> Iterator[str]:
    """The first cell tells with the command of an extra how long it takes and what it weighs."""
    opening = notebook["cells"][0]["source"] if notebook["cells"] else ""
    for part in re.split(r"(?=setup --extra \w)", opening)[1:]:
        if not re.search(r"\d+ minutes?\b", part) or not re.search(r"[\d.]+ [MG]B\b", part):
            name = EXTRA.findall(part)[0]
            yield f"the first cell names the extra {name!r} without its minutes and its size"


def _modules(source: str) -> set[str]:
    """The top-level modules that are imported or looked up, without the standard library and our own."""
    found = set(LOOKED_UP.findall(source))
    for from_name, names in IMPORT.findall(source):
        found |= (
            {from_name} if from_name else {name.split()[0].split(".")[0] for name in names.split(",") if name.strip()}
        )
    return {name for name in found if name not in sys.stdlib_module_names and name != "helpers"}


def _packages_of(module: str) -> set[str]:
    """The package that a module comes from; none for one that the notebook itself writes."""
    names: list[str] = [canonicalize_name(name) for name in _installed().get(module, [])]
    return set(names) or _pinned().intersection([canonicalize_name(module)])


@cache
def _installed() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def _pinned() -> set[str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return {canonicalize_name(Requirement(line).name) for line in lines if line and not line.startswith("#")}


@cache
def _closure(extras: tuple[str, ...]) -> frozenset[str]:
    """The packages that these extras of the course bring, and those that they bring in turn."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = project["optional-dependencies"]
    own = [text for extra in extras for text in groups.get(extra, [])] + project["dependencies"]
    # Without their markers: what the course has on one system belongs to it on all.
    todo = _needed((text.partition(";")[0] for text in own), {""})
    found: set[tuple[str, str]] = set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) not in found:
            found.add((name, extra))
            todo += _needed(_requires(name), {extra})
    return frozenset(name for name, _ in found)


def _needed(requirements: Iterable[str], extras: set[str]) -> list[tuple[str, str]]:
    """Each package with each of the extras that it is wanted with, where the marker holds."""
    needed = [Requirement(text) for text in requirements]
    wanted = [each for each in needed if not each.marker or any(each.marker.evaluate({"extra": x}) for x in extras)]
    return [(canonicalize_name(each.name), extra) for each in wanted for extra in ("", *each.extras)]


def _requires(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []  # an extra's package, which is not here
