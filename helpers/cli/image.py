"""``image build|list|run``: container images of bundles, with Docker or without."""

import argparse
from pathlib import Path

from helpers.cli.ports import port_number

SUMMARY = "container images of bundles: build, list, run; with Docker, podman or buildah, or with none of them"
EXTRAS: list[str] = []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    build = kinds.add_parser("build", help="build the image of a bundle")
    build.add_argument("bundle", type=Path, metavar="FOLDER")
    build.add_argument(
        "--with",
        dest="builder",
        choices=["docker", "podman", "buildah", "python"],
        help="default: the first that works; python needs none of them, only Linux",
    )
    kinds.add_parser("list", help="the images that were built in plain Python, and their sizes")
    run_ = kinds.add_parser("run", help="run one of them here")
    run_.add_argument("reference", metavar="NAME:VERSION")
    run_.add_argument("--port", type=port_number, default=3000, help="default: 3000")


def run(arguments: argparse.Namespace) -> int:
    from helpers.deploy import images, running
    from helpers.deploy.packing import Bundle
    from helpers.text_table import aligned

    if arguments.what == "run":
        return running.run(arguments.reference, arguments.port)
    if arguments.what == "build":
        made = images.build(Bundle.read(arguments.bundle), arguments.builder)
        print(f"{made.reference}, built by {made.builder} in {made.seconds:.1f} s: {made.unpacked / 1e6:.0f} MB")
        return 0
    print(aligned(["image", "digest", "packed", "unpacked"], running.describe(images.listed())))
    return 0
