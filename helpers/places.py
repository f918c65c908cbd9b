"""Where things lie: the checkout's folders, and the learner's own data."""

import os
import sys
from pathlib import Path

from helpers.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
"""The checkout (or, for an installed package, the folder that holds it)."""

LECTURES = ROOT / "notebooks"
SOLUTIONS = ROOT / "solutions"
EXERCISES = ROOT / "exercises"
WORK = ROOT / "work"


def is_checkout() -> bool:
    """True in a checkout of the course, False for an installed package and in a bundle."""
    return (ROOT / "pyproject.toml").is_file() and (ROOT / "constraints.txt").is_file()


def lab_home() -> Path:
    """The folder for what is made here: models, progress, measurements, logs.

    It is ``.lab/`` in a checkout, and the system's folder for a user's data once the package is
    installed, unless the variable SERVELAB_HOME names another.
    """
    home = os.environ.get("SERVELAB_HOME")
    try:
        if home:
            return Path(home).expanduser().resolve()
        return ROOT / ".lab" if is_checkout() else user_data() / "servelab"
    except (RuntimeError, OSError) as error:  # no such user, a loop of links
        wanted = f"SERVELAB_HOME is {home!r}" if home else "This user has no home folder"
        raise UserError(
            f"{wanted}, and cannot be used: {str(error).rstrip('.')}.", "set SERVELAB_HOME to a folder of your own."
        ) from None


def check_lab_home() -> None:
    """Refuse a home that cannot be a folder, before something half works without it."""
    home = lab_home()
    existing = next((path for path in (home, *home.parents) if path.exists()), home)
    if existing.exists() and not existing.is_dir():
        raise UserError(
            f"Models and results go to {home}, but {existing} is not a folder.",
            "set the variable SERVELAB_HOME to a folder of your own.",
        )


def user_data(system: str = sys.platform) -> Path:
    """Where programs keep a user's data, by the convention of each system."""
    if system == "win32":
        local = os.environ.get("LOCALAPPDATA", "")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if system == "darwin":
        return Path.home() / "Library" / "Application Support"
    named = Path(os.environ.get("XDG_DATA_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".local" / "share"
