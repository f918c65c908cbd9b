"""``package BUNDLE --into FOLDER``: a Python package with a command line, made from a bundle."""

import argparse
from pathlib import Path

SUMMARY = "make a Python package with a command line from a bundle: NAME serve, NAME predict"
EXTRAS: list[str] = []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder of a bundle")
    parser.add_argument("--into", type=Path, default=Path("packages"), metavar="FOLDER", help="default: packages")
    parser.add_argument("--name", help="the package's and the command's; default: the bundle's")
    parser.add_argument("--release", default="0.1.0", metavar="VERSION", help="default: 0.1.0")
    parser.add_argument(
        "--try", dest="try_it", action="store_true", help="install it in a fresh environment and run it"
    )


def run(arguments: argparse.Namespace) -> int:
    from helpers.deploy import delivery
    from helpers.deploy.packing import Bundle

    made = delivery.package(Bundle.read(arguments.bundle), arguments.into, arguments.name, arguments.release)
    print(f"{made.wheel}: {made.wheel.stat().st_size / 1e6:.2f} MB")
    if arguments.try_it:
        print(f"installed and run in an environment of its own: {delivery.tried(made)}")
    print(f"install it: python -m pip install {made.wheel}")
    print(f"then: {made.name} serve --port 3000, or {made.name} predict request.json")
    print("to publish it (needs an account, and was not run): python -m twine upload " + str(made.wheel))
    return 0
