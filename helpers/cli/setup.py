"""``setup``: make, update or repair the environment, and nothing else."""

import argparse

from helpers.cli.environment import Environment
from helpers.cli.installer import install

SUMMARY = "make or update the environment (.venv) for the course"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--extra",
        action="append",
        default=[],
        metavar="NAME",
        help="also install this optional group of packages (pyproject.toml lists them)",
    )


def run(arguments: argparse.Namespace) -> int:
    environment = Environment()
    environment.check_extras(arguments.extra)
    extras = {"course", *arguments.extra}
    if environment.is_ready(extras):
        print(f"The environment is ready: {environment.folder}")
    else:
        install(environment, extras)
    return 0
