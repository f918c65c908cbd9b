"""The second cell of every notebook: is this machine ready, and if not, what to do."""

import platform
import warnings

from helpers.classroom import doctor

# Warnings of the packages' own making, about their own code, at these pins: nothing that a
# learner did or could mend. Warnings about the learner's code stay.
NOISE = [r".*isinstance\(treespec, LeafSpec\).*"]


def ready() -> None:
    """Say in one line that all is well, or name each problem and its remedy."""
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
    found = list(doctor.problems(doctor.examine(quick=True)))
    for problem in found:
        print(f"Problem with {problem.name}: {problem.detail}\n  Remedy: {problem.remedy}")
    if not found:
        print(f"Ready: Python {platform.python_version()}, packages at their pins.", end=" ")
    print("The whole examination: python3 -m helpers doctor")
