"""Where things lie: the checkout's folders, and the learner's own data."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout (or, for an installed package, the folder that holds it)."""

LECTURES = ROOT / "notebooks"
SOLUTIONS = ROOT / "solutions"
EXERCISES = ROOT / "exercises"
WORK = ROOT / "work"


def lab_home() -> Path:
    """The folder for what is made here: models, progress, measurements, logs.

    It is ``.lab/`` in the checkout unless the variable SERVELAB_HOME names another.
    """
    home = os.environ.get("SERVELAB_HOME")
    return Path(home).expanduser().resolve() if home else ROOT / ".lab"
