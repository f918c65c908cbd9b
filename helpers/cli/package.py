"""``package BUNDLE --into FOLDER``: a Python package with a command line, made from a bundle."""

import argparse
from pathlib import Path

SUMMARY = "make a Python package with a command line from a bundle: NAME serve, NAME predict"
EXTRAS: list[str] = []

EXAMPLES = """
for example:
  python3 -m helpers package bundles/Digits-0123456789ab --into dist
  python3 -m helpers package bundles/Digits-0123456789ab --into dist --name shop-digits --release 1.2.0 --try

FOLDER gets the wheel, NAME-RELEASE-py3-none-any.whl, and beside it in NAME-RELEASE what it was built from.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder that the command bundle wrote")
    parser.add_argument(
        "--into", type=Path, default=Path("dist"), metavar="FOLDER", help="where to put the wheel; default: dist"
    )
    parser.add_argument("--name", help="what the package and its command are called; default: the bundle's name")
    parser.add_argument(
        "--release", default="0.1.0", metavar="VERSION", help="the package's version, such as 1.2.0; default: 0.1.0"
    )
    parser.add_argument(
        "--try", dest="try_it", action="store_true", help="also install it in a fresh environment and run it there"
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
    print(f"the module to import: {made.module} (python -m {made.module} serve; {made.module}.application() for ASGI)")
    print("to publish it (needs an account, and was not run): python -m twine upload " + str(made.wheel))
    return 0
