"""``bench WHAT``: measurements, each with its peers and its limit in the same run."""

import argparse
import json

from helpers.errors import UserError
from helpers.places import lab_home

SUMMARY = "measure: `bench runtime` models in every way that is here, `bench engine` the server"
EXTRAS = ["course"]

MODELS = ("digits", "wide", "resnet18")
WORKLOADS = ("tiny", "wide", "image")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    runtime = kinds.add_parser("runtime", help="torch, ONNX Runtime in its ways, OpenVINO if it is installed")
    runtime.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all of them")
    runtime.add_argument("--batches", nargs="+", type=positive, default=[1, 4, 16, 64], help="default: 1 4 16 64")
    runtime.add_argument("--threads", type=positive, default=1, help="for each contestant; default: 1")
    runtime.add_argument("--seconds", type=float, default=3.0, help="for each model and batch size; default: 3")
    runtime.add_argument("--without", nargs="+", default=[], metavar="NAME", help="contestants to leave out")
    engine = kinds.add_parser(
        "engine", help="our server, plain ASGI, the bare protocol, and FastAPI where `setup --extra peers` put it"
    )
    engine.add_argument(
        "--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), help="default: all of them"
    )
    engine.add_argument("--rounds", type=positive, default=3, help="turns for each contestant; default: 3")
    engine.add_argument("--seconds", type=float, default=3.0, help="for each turn, 1 or more; default: 3")


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.seconds <= 600:
        raise UserError(f"{arguments.seconds} seconds cannot be measured in.", "name 0.1 to 600.", 2)
    return _runtime(arguments) if arguments.what == "runtime" else _engine(arguments)


def _say(line: str) -> None:
    print(line, flush=True)


def _runtime(arguments: argparse.Namespace) -> int:
    from helpers.bench import drawing, runtime

    without = frozenset(arguments.without)
    batches = sorted(set(arguments.batches))
    results = runtime.measure(arguments.models, batches, arguments.threads, arguments.seconds, without, _say)
    folder = lab_home() / "bench"
    picture = drawing.draw(results, folder / "runtime.png")
    figures = folder / "runtime.json"
    figures.write_text(json.dumps([result.as_dict() for result in results], indent=1), "utf-8")
    print(f"\n{runtime.tables(results)}\n\nThe picture: {picture}\nAll figures: {figures}")
    return 0


def _engine(arguments: argparse.Namespace) -> int:
    from helpers.bench import engine, load

    print(f"The load comes from {load.generator()}.", flush=True)
    results, seen = engine.measure(arguments.workloads, arguments.rounds, arguments.seconds, _say)
    print(f"\n{engine.table(results)}\n")
    for name, running in seen.items():
        print(f"{name}: ready after {running.ready_after:.2f} s, {running.megabytes:.0f} MB")
    return 0
