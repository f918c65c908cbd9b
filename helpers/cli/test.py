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
    environment = variables()
    chosen = arguments.rest
    if not chosen:
        # The whole suite runs two tests at a time; a part of it starts sooner without that. Two
        # processes with two busy threads each would fight over two cores, so each gets one. Each
        # takes one half, neighbours stay together, and who is done first takes from the other's end.
        chosen = ["-n", "2", "--dist", "worksteal"]
        environment.setdefault("OMP_NUM_THREADS", "1")
    return continue_as([sys.executable, "-m", "pytest", *chosen], environment, ROOT)
