"""The packages of a bundle: who installed a module, what that asks for, and what a user requires by name."""

import functools
import importlib.metadata
import re
from collections.abc import Iterable, Sequence

from helpers.errors import UserError


def distributions_of(modules: Iterable[str]) -> set[str]:
    """The distributions that installed these modules."""
    tops = {name.partition(".")[0] for name in modules}
    return {normal_name(name) for top in tops for name in installed_modules().get(top, ())}


@functools.cache
def installed_modules() -> dict[str, list[str]]:
    """For each importable top-level name, the distributions that installed it."""
    return {top: list(names) for top, names in importlib.metadata.packages_distributions().items()}


def closure(names: Iterable[str], extras: frozenset[str] = frozenset()) -> dict[str, str]:
    """These distributions and all that they depend on, at the versions that are installed here."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    todo = [(name, extras) for name in sorted(names)]
    seen = set()
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system, as uvloop on Windows
        found[name] = distribution.version.partition("+")[0]
        for text in distribution.requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in wanted or {""}):
                todo.append((normal_name(needed.name), frozenset(needed.extras)))
    return dict(sorted(found.items()))


def required(texts: Sequence[str]) -> dict[str, str]:
    """What ``--require NAME[==VERSION]`` adds to the lock. Only what is installed here was tried here."""
    found: dict[str, str] = {}
    for text in texts:
        found |= _required(text)
    return found


def _required(text: str) -> dict[str, str]:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(text)
    except InvalidRequirement:
        raise UserError(f"{text!r} is not a requirement.", "write NAME or NAME==VERSION: --require pandas", 2) from None
    name = normal_name(wanted.name)
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        owners = installed_modules().get(wanted.name, [])
        remedy = f"--require {owners[0]}" if owners else f"install it first: python -m pip install '{text}'"
        what = f"a module of {owners[0]}, and not a package" if owners else "not installed here"
        raise UserError(f"{wanted.name} is {what}.", remedy, 2) from None
    if not wanted.specifier.contains(version, prereleases=True):
        raise UserError(
            f"{text} is required, and {name} {version} is installed here.",
            f"a bundle is tried with the packages of this environment: python -m pip install '{text}', or require "
            f"{name}=={version}.",
            2,
        )
    return closure({name}, frozenset(wanted.extras))


def normal_name(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
