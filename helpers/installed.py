"""Which packages this Python has, found out without importing them."""

import importlib.util
from collections.abc import Sequence

from helpers.errors import UserError
from helpers.places import is_checkout


def is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # hidden on purpose
        return False


def how_to_install(*extras: str) -> str:
    """The command that installs groups of packages: by ``setup`` in a checkout, else by pip.

    >>> how_to_install("batch")
    'python3 -m helpers setup --extra batch'
    """
    if is_checkout():
        return "python3 -m helpers setup" + "".join(f" --extra {extra}" for extra in extras if extra != "course")
    return f"pip install 'servelab[{','.join(extras)}]'" if extras else "pip install servelab"


def expect_installed(what: str, packages: Sequence[str], extra: str = "") -> None:
    """Refuse, in one sentence with the command, what needs packages that are not here.

    ``extra`` names the group that holds them all, if there is one.
    """
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        raise UserError(
            f"{what} needs {' and '.join(missing)}, which this Python does not have.",
            how_to_install(extra) if extra else f"pip install {' '.join(missing)}",
        )
