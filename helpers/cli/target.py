"""``target PLATFORM BUNDLE``: what a platform wants beside a bundle, written and checked."""

import argparse
from pathlib import Path

SUMMARY = "what Cloud Run, Kubernetes, AWS Lambda or Azure Functions want beside a bundle"
EXTRAS: list[str] = []

EXAMPLES = """
for example:
  python3 -m helpers target kubernetes bundles/Digits-0123456789ab --into k8s --image registry.example/digits:1
  python3 -m helpers target kubernetes bundles/Digits-0123456789ab --into k8s --check
  python3 -m helpers target lambda bundles/Digits-0123456789ab

FOLDER/README.md says what to do with what was written.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument(
        "platform",
        choices=["cloud-run", "kubernetes", "lambda", "azure"],
        help="what it is written for: Google Cloud Run, Kubernetes, AWS Lambda or Azure Functions",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder that the command bundle wrote")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="where to put it; default: targets/PLATFORM")
    parser.add_argument("--image", metavar="NAME:VERSION", help="where the image lies; default: the bundle's own name")
    parser.add_argument("--check", action="store_true", help="write nothing: look at a FOLDER that was edited")


def run(arguments: argparse.Namespace) -> int:
    from helpers.deploy import targets
    from helpers.deploy.packing import Bundle

    bundle = Bundle.read(arguments.bundle)
    into = arguments.into or Path("targets") / arguments.platform
    if arguments.check:
        targets.check(arguments.platform, into, bundle)
        return 0
    targets.write(arguments.platform, bundle, into, arguments.image)
    print(f"what to do with it: {into / 'README.md'}")
    return 0
