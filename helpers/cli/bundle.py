"""``bundle TARGET``: a directory that holds all that a service needs."""

import argparse
from pathlib import Path

from helpers.cli.invocation import command_line
from helpers.cli.targets import expect_target

SUMMARY = "pack a service, or a model of the store, into a directory that runs anywhere"
EXTRAS: list[str] = []  # the lean core is enough

EXAMPLES = """
for example:
  python3 -m helpers bundle shop:Digits
  python3 -m helpers bundle digits:prod --into out
  python3 -m helpers bundle shop:Digits --include data/prices.csv --require pandas

What the service imports and reads when it starts is packed, and so are all files of its packages, but caches,
hidden files, and files over 100 MB. A file lies in the bundle where it lies in this folder, so that a path relative
to the module (Path(__file__).parent / "labels.txt") stays right. @service(files=["labels.txt"]) names files too,
relative to the module. Before success is reported, the bundle is started once, in its own directory.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("target", metavar="TARGET", help="module:Service, or a tag: digits, digits:2")
    parser.add_argument(
        "--into", type=Path, default=Path("bundles"), metavar="FOLDER", help="where to put it; default: bundles"
    )
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATH",
        help="also pack a file, a folder or a pattern such as 'data/*.txt', relative to this folder; repeatable",
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="NAME[==VERSION]",
        help="also require an installed package, such as one that a method imports; repeatable",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="TAG",
        help="also pack a model of the store, such as one whose tag is computed; repeatable",
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=300.0, metavar="SECONDS", help="for a start of the service; default: 300"
    )


def run(arguments: argparse.Namespace) -> int:
    from helpers.deploy import Extras, bundle

    expect_target(arguments.target, "bundle")
    extras = Extras(arguments.include, arguments.require, arguments.model)
    made = bundle(arguments.target, arguments.into, extras=extras, seconds=arguments.timeout)
    print(f"run it: python {made.path / 'run.py'}")
    print(f"make an image of it: {command_line('image build')} {made.path}")
    return 0


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number
