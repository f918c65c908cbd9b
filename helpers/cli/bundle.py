"""``bundle TARGET``: a directory that holds all that a service needs."""

import argparse
from pathlib import Path

from helpers.cli.invocation import command_line

SUMMARY = "pack a service, or a model of the store, into a directory that runs anywhere"
EXTRAS: list[str] = []  # the lean core is enough


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="module:Service, or a tag: digits, digits:2")
    parser.add_argument("--into", type=Path, default=Path("bundles"), metavar="FOLDER", help="default: bundles")


def run(arguments: argparse.Namespace) -> int:
    from helpers.deploy import bundle

    made = bundle(arguments.target, arguments.into)
    print(f"run it: python {made.path / 'run.py'}")
    print(f"make an image of it: {command_line('image build')} {made.path}")
    return 0
