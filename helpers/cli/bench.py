"""``bench WHAT``: measurements, each with its peers and its limit in the same run."""

import argparse
import json
import signal
import sys

from helpers.errors import UserError
from helpers.places import lab_home

SUMMARY = (
    "measure: `bench runtime` models in every way that is here, `bench engine` the server, `bench soak` how it lasts"
)
EXTRAS = ["course"]

MODELS = ("digits", "wide", "resnet18")
WORKLOADS = ("tiny", "wide", "image")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT", help="one of:")
    runtime = kinds.add_parser("runtime", help="torch, ONNX Runtime in its ways, OpenVINO if it is installed")
    runtime.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(MODELS), help="which of them; default: all"
    )
    runtime.add_argument(
        "--batches", nargs="+", type=positive, default=[1, 4, 16, 64], help="rows in a call; default: 1 4 16 64"
    )
    runtime.add_argument("--threads", type=positive, default=1, help="for each contestant; default: 1")
    runtime.add_argument("--seconds", type=float, default=3.0, help="for each model and batch size; default: 3")
    runtime.add_argument("--without", nargs="+", default=[], metavar="NAME", help="contestants to leave out")
    engine = kinds.add_parser(
        "engine",
        help="our server beside plain ASGI, BentoML, FastAPI, and LitServe if `setup --extra peers` was run",
    )
    engine.add_argument(
        "--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), help="which of them; default: all"
    )
    engine.add_argument("--rounds", type=positive, default=3, help="turns for each contestant; default: 3")
    engine.add_argument("--seconds", type=float, default=3.0, help="for each turn, 1 or more; default: 3")
    engine.add_argument("--without", nargs="+", default=[], metavar="NAME", help="contestants to leave out")
    soak = kinds.add_parser("soak", help="a server under honest and hostile load for minutes: memory, speed, errors")
    soak.add_argument("--minutes", type=float, default=10.0, help="how long; default: 10")
    soak.add_argument("--workers", type=positive, default=2, help="of the server; default: 2")


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    seconds = 60 * arguments.minutes if arguments.what == "soak" else arguments.seconds
    if not 0 < seconds <= 86_400:
        raise UserError(f"{seconds:g} seconds cannot be measured in.", "name more than 0, and a day at most.", 2)
    # Told to end, as by a timeout: the servers that were started for this end too.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return {"runtime": _runtime, "engine": _engine, "soak": _soak}[arguments.what](arguments)
    finally:
        signal.signal(signal.SIGTERM, before)


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
    results, seen = engine.measure(
        arguments.workloads, arguments.rounds, arguments.seconds, _say, frozenset(arguments.without)
    )
    print(f"\n{engine.table(results)}\n")
    for name, running in seen.items():
        print(f"{name}: ready after {running.ready_after:.2f} s, {running.megabytes:.0f} MB")
    return 0


def _soak(arguments: argparse.Namespace) -> int:
    from helpers.bench import soak

    spans = soak.measure(60 * arguments.minutes, arguments.workers, _say)
    picture = soak.draw(spans, lab_home() / "bench" / "soak.png")
    print(f"\n{soak.table(spans)}\n\nThe picture: {picture}\nIn words: {soak.summary(spans)}")
    return 0 if soak.went_well(spans) else 1
