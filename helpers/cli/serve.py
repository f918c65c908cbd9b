"""``serve TAG…``: models of the store, answering over HTTP until they are told to stop."""

import argparse

from helpers.cli.ports import port_number

SUMMARY = "serve models of the store over HTTP (Open Inference v2, TensorFlow Serving)"
EXTRAS: list[str] = []  # the lean core is enough

EXAMPLES = """
  python3 -m helpers store add digits digits.onnx
  python3 -m helpers serve digits:latest
  curl http://127.0.0.1:3000/v2/models/digits
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"for example:{EXAMPLES}"
    parser.add_argument("targets", nargs="+", metavar="TAG", help="from the store: digits, digits:2, digits:prod")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, which only this machine reaches")
    parser.add_argument("--port", type=port_number, default=3000, help="default: 3000; 0 takes one that is free")
    parser.add_argument("--threads", type=int, choices=range(1, 65), default=1, metavar="N", help="for each model")


def run(arguments: argparse.Namespace) -> int:
    import asyncio
    import signal

    from helpers.engine.server import Server, new_loop

    def say_so() -> None:
        print(f"Serving {', '.join(arguments.targets)} at {server.address} (Ctrl+C stops)", flush=True)

    server = Server(arguments.targets, arguments.host, arguments.port, threads=arguments.threads, when_ready=say_so)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(server.run())
    print("Stopped: what was accepted has been answered.", flush=True)
    return 0
