"""Which packages this Python has, found out without importing them."""

import importlib.util
from collections.abc import Sequence

from helpers.errors import UserError


def is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # hidden on purpose
        return False


def expect_installed(what: str, packages: Sequence[str]) -> None:
    """Refuse, in one sentence with the command, what needs packages that are not here."""
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        raise UserError(
            f"{what} needs {' and '.join(missing)}, which this Python does not have.",
            f"pip install {' '.join(missing)}",
        )
