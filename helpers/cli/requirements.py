"""Which packages a list of requirements names on this machine, and which of them are there.

Standard library only: before the environment is made, nothing else can be imported.
"""

import ast
import importlib.metadata
import operator
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

DISTRIBUTION = "servelab"

OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


def canonical(name: str) -> str:
    """The one spelling of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def machine() -> dict[str, str]:
    """The values of this machine that a requirement's marker may compare."""
    return {
        "os_name": os.name,
        "sys_platform": sys.platform,
        "platform_machine": platform.machine(),
        "platform_system": platform.system(),
        "platform_python_implementation": platform.python_implementation(),
        "implementation_name": sys.implementation.name,
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "python_full_version": platform.python_version(),
    }


def names(requirements: Iterable[str], extras: Iterable[str] = (), values: dict[str, str] | None = None) -> set[str]:
    """The distributions that apply here, with these extras.

    >>> sorted(names(["numpy>=2", "duckdb; extra == 'batch'", "pytest; extra == 'dev'"], ["batch"]))
    ['duckdb', 'numpy']
    """
    values = machine() if values is None else values
    found = set()
    for text in requirements:
        wanted, _, marker = text.partition(";")
        if not marker or any(applies(marker, {**values, "extra": extra}) for extra in ("", *extras)):
            found.add(canonical(re.split(r"[\s<>=!~\[(@]", wanted.strip(), maxsplit=1)[0]))
    return found


def applies(marker: str, values: dict[str, str]) -> bool:
    """True if a marker such as ``sys_platform == 'linux' and extra == 'course'`` holds for these values."""
    return bool(_evaluate(ast.parse(marker.strip(), mode="eval").body, values))


def _evaluate(node: ast.expr, values: dict[str, str]) -> Any:
    match node:
        case ast.BoolOp(op, parts):
            return (all if isinstance(op, ast.And) else any)(_evaluate(part, values) for part in parts)
        case ast.Compare(left, [op], [right]):
            sides = [_evaluate(left, values), _evaluate(right, values)]
            named = [side.id for side in (left, right) if isinstance(side, ast.Name)]
            if any(name.endswith("version") for name in named) and not isinstance(op, ast.In | ast.NotIn):
                sides = [tuple(map(int, re.findall(r"\d+", side))) for side in sides]
            return OPERATORS[type(op)](*sides)
        case ast.Name(name):
            return values[name]
        case ast.Constant(str(text)):
            return text
    raise ValueError(f"{ast.unparse(node)} is not a marker")


def found_in(site_packages: Path) -> set[str]:
    """The distributions that are unpacked in a folder, by the names of their records."""
    return {canonical(path.name.split("-")[0]) for path in site_packages.glob("*.dist-info")}


def not_provided(extras: Iterable[str]) -> set[str]:
    """What the running interpreter lacks of this package, as it is installed there, and of all that the extras name."""
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return {DISTRIBUTION}
    missing = set()
    for name in names(requirements, extras):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.add(name)
    return missing


def is_provided(extras: Iterable[str]) -> bool:
    """True if the running interpreter has the course from elsewhere: conda, Binder, a hub.

    Then nothing is made beside it.
    """
    return not not_provided(extras)
