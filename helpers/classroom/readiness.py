"""The second cell of every notebook: is this machine ready, and if not, what to do."""

import logging
import os
import platform
import warnings

from helpers.classroom import doctor
from helpers.progress_line import show_slow_cells

# Warnings of the packages' own making, about their own code, at these pins: nothing that a
# learner did or could mend. Warnings about the learner's code stay.
NOISE = [r".*isinstance\(treespec, LeafSpec\).*"]


# TensorFlow speaks of itself when it is imported; without oneDNN's reordered sums it also gives
# the same numbers on each machine.
QUIET_TENSORFLOW = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}


# A proxy of the house cannot reach the servers of this machine.
LOOPBACK = "127.0.0.1,localhost,::1"


def ready() -> None:
    """Say in one line that all is well, or name each problem and its remedy."""
    for name, value in QUIET_TENSORFLOW.items():
        os.environ.setdefault(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), LOOPBACK]))
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
    # Fonts that this machine lacks, and a cache of fonts that is made once: the pictures come out all the same.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    show_slow_cells()
    found = list(doctor.problems(doctor.examine(quick=True)))
    for problem in found:
        print(f"Problem with {problem.name}: {problem.detail}\n  Remedy: {problem.remedy}")
    if not found:
        print(f"Ready: Python {platform.python_version()}, packages at their pins.", end=" ")
    print("The whole examination: python3 -m helpers doctor")
