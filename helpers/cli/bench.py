"""``bench WHAT``: measurements, each with its peers and its limit in the same run."""

import argparse
import json

from helpers.errors import UserError
from helpers.places import lab_home

SUMMARY = "measure: `bench runtime` runs models in every way that is here"
EXTRAS = ["course"]

MODELS = ("digits", "wide", "resnet18")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    runtime = kinds.add_parser("runtime", help="torch, ONNX Runtime in its ways, OpenVINO if it is installed")
    runtime.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all of them")
    runtime.add_argument("--batches", nargs="+", type=positive, default=[1, 4, 16, 64], help="default: 1 4 16 64")
    runtime.add_argument("--threads", type=positive, default=1, help="for each contestant; default: 1")
    runtime.add_argument("--seconds", type=float, default=3.0, help="for each model and batch size; default: 3")
    runtime.add_argument("--without", nargs="+", default=[], metavar="NAME", help="contestants to leave out")


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    from helpers.bench import drawing, runtime

    if not 0 < arguments.seconds <= 600:
        raise UserError(f"{arguments.seconds} seconds cannot be measured in.", "name 0.1 to 600.", 2)
    results = runtime.measure(
        arguments.models,
        sorted(set(arguments.batches)),
        arguments.threads,
        arguments.seconds,
        frozenset(arguments.without),
        say=lambda line: print(line, flush=True),
    )
    folder = lab_home() / "bench"
    picture = drawing.draw(results, folder / "runtime.png")
    figures = folder / "runtime.json"
    figures.write_text(json.dumps([result.as_dict() for result in results], indent=1), "utf-8")
    print(f"\n{runtime.tables(results)}\n\nThe picture: {picture}\nAll figures: {figures}")
    return 0
