"""``serve TARGET…``: services, and models of the store, answering over HTTP until they are told to stop."""

import argparse

from helpers.cli.ports import port_number
from helpers.cli.targets import expect_target

SUMMARY = "serve a service's class, or models of the store, over HTTP"
EXTRAS: list[str] = []  # the lean core is enough

EXAMPLES = """
for example:
  python3 -m helpers store add digits digits.onnx
  python3 -m helpers serve digits:latest              a model: Open Inference (/v2), TensorFlow Serving (/v1)
  python3 -m helpers serve shop:Recommender           the class Recommender in shop.py, each API at /NAME
  python3 -m helpers serve shop:Recommender --reload   while you write it: changes of its source are taken up
  curl http://127.0.0.1:3000/docs                     what can be asked, and how
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="module:Service, or a tag: digits, digits:2")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="where to listen; default: 127.0.0.1, which only this machine reaches",
    )
    parser.add_argument(
        "--port", type=port_number, default=3000, help="the port to listen at; default: 3000; 0 takes one that is free"
    )
    parser.add_argument(
        "--workers", type=int, choices=range(1, 65), metavar="N", help="processes; default: as the services ask, else 1"
    )
    parser.add_argument(
        "--threads", type=int, choices=range(1, 65), default=1, metavar="N", help="of each model; default: 1"
    )
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="what models run on: cpu (default), cuda, cuda:1, openvino, coreml, …; refused if it is not here",
    )
    parser.add_argument(
        "--reload",
        action="store_true",
        help="start new workers when the services' source files change; requests in flight are answered",
    )
    parser.add_argument(
        "--grace",
        type=int,
        choices=range(3, 3601),
        default=10,
        metavar="SECONDS",
        help="how long accepted requests may take the server stops; default: 10",
    )
    parser.add_argument("--finite-only", action="store_true", help="refuse NaN and infinite numbers")
    parser.add_argument("--log-requests", action="store_true", help="a line of JSON for each request, on stderr")


def run(arguments: argparse.Namespace) -> int:
    from helpers.serving import Settings, command

    for target in arguments.targets:
        expect_target(target, "serve")
    settings = Settings(
        arguments.threads,
        arguments.finite_only,
        grace=arguments.grace,
        log_requests=arguments.log_requests,
        device=arguments.device,
    )
    return command.run(
        arguments.targets, arguments.host, arguments.port, arguments.workers, settings, reload=arguments.reload
    )
