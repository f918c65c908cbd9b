"""``image build|list|run|remove``: container images of bundles, with Docker or without."""

import argparse
import signal
import sys
from pathlib import Path

from helpers.cli.invocation import command_line
from helpers.cli.ports import port_number

SUMMARY = "container images of bundles: build, list, run, remove; with Docker, podman or buildah, or with none of them"
EXTRAS: list[str] = []
BUILDERS = ["docker", "podman", "buildah", "python"]

EXAMPLES = """
for example:
  python3 -m helpers image build bundles/Digits-0123456789ab
  python3 -m helpers image list
  python3 -m helpers image run digits:0123456789ab --port 8080 --memory 512
  python3 -m helpers image remove digits:0123456789ab

python3 -m helpers image WHAT --help tells more about one of them.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT", help="one of:")
    build = kinds.add_parser("build", help="build the image of a bundle")
    build.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder that the command bundle wrote")
    build.add_argument(
        "--with",
        dest="builder",
        choices=BUILDERS,
        help="what builds it; default: the first that works; python needs none of them, only Linux",
    )
    build.add_argument(
        "--base", metavar="NAME", help="the image to build on, with Python and pip; default: python's slim"
    )
    kinds.add_parser("list", help="the images of bundles, of every builder that works here, and their sizes")
    remove = kinds.add_parser("remove", help="remove one, and the layers that no other needs")
    remove.add_argument("reference", metavar="NAME:VERSION", help="the image, as image list shows it")
    run_ = kinds.add_parser("run", help="run one of them here, by the engine that holds it")
    run_.add_argument("reference", metavar="NAME:VERSION", help="the image, as image list shows it")
    run_.add_argument("--port", type=port_number, default=3000, help="the port of this machine; default: 3000")
    run_.add_argument("--memory", type=megabytes, metavar="MB", help="how much it may use; default: no limit")
    run_.add_argument("--with", dest="engine", choices=BUILDERS, help="what runs it; default: the first that holds it")


def megabytes(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    from helpers.deploy import containers, images
    from helpers.deploy.packing import Bundle
    from helpers.text_table import aligned

    # At its end by SIGTERM too, what is temporary (an unpacked image, the secrets of a build) is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if arguments.what == "run":
        return containers.run(arguments.reference, arguments.port, arguments.memory, arguments.engine)
    if arguments.what == "build":
        made = images.build(Bundle.read(arguments.bundle), arguments.builder, base=arguments.base)
        print(f"{made.reference}, built by {made.builder} in {made.seconds:.1f} s: {made.unpacked / 1e6:.0f} MB")
        print(f"run it: {command_line('image run')} {made.reference}")
        return 0
    if arguments.what == "remove":
        print("\n".join(images.remove(arguments.reference)))
        return 0
    print(aligned(["image", "builder", "digest", "packed", "unpacked"], images.table()))
    return 0
