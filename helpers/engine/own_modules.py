"""Which modules are a service's own: those that were loaded from its folder, and not from an installed package."""

import os
import sys
from pathlib import Path
from typing import Any

from helpers.places import ROOT


def own_modules(folder: Path) -> dict[str, Path]:
    """The modules that were loaded from this folder, by name."""
    found = {}
    for name, module in list(sys.modules.items()):
        path = file_of(module)
        if path is not None and path.is_relative_to(folder) and not path.is_relative_to(ROOT / "helpers"):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if not hidden and not path.is_relative_to(sys.prefix):
                found[name] = path
    return found


def package_folder(name: str, file: Path) -> Path | None:
    """The outermost package that a module belongs to: its folder; none for a module that stands alone.

    Folders without ``__init__.py`` count from the one in which the module itself lies, since those above it may
    hold anything.
    """
    parts = name.split(".") if file.stem == "__init__" else name.split(".")[:-1]
    above = list(file.parents)[: len(parts)][::-1]  # the outermost first
    if [each.name for each in above] != parts:  # loaded in a way of its own
        return None
    return next((each for each in above if (each / "__init__.py").exists()), above[-1] if above else None)


def file_of(module: Any) -> Path | None:
    """Where a module was loaded from. A link keeps its own name; modules made in memory may name no real path."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not os.path.isabs(file):  # noqa: PTH117
        return None
    return Path(os.path.abspath(file))  # noqa: PTH100
