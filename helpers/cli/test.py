"""``test``: run the whole suite. What follows goes to pytest."""

import argparse
import sys

from helpers.cli.continue_as import continue_as
from helpers.cli.environment import variables
from helpers.places import ROOT

SUMMARY = "run the test suite (what follows goes to pytest)"
EXTRAS = ["course", "dev"]
PASSES_ON_THE_REST = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "python3 -m helpers test [pytest's own arguments]"


def run(arguments: argparse.Namespace) -> int:
    # The whole suite runs on two cores at once; a part of it starts sooner on one.
    chosen = arguments.rest or ["-n", "2"]
    return continue_as([sys.executable, "-m", "pytest", *chosen], variables(), ROOT)
