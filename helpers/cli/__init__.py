"""The command line: finds the command, sees to its environment, and reports errors plainly.

A command is a module with ``SUMMARY``, ``add_arguments(parser)`` and
``run(arguments) -> int``; those whose imports need the environment also say
``EXTRAS``, and are run inside it.
"""

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from helpers.cli.continue_as import continue_as
from helpers.errors import UserError

COMMANDS = [
    "setup",
    "lab",
    "test",
    "doctor",
    "start",
    "status",
    "build",
    "store",
    "serve",
    "bundle",
    "image",
    "target",
    "score",
    "package",
    "bench",
]


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one sentence and a remedy."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message[:1].upper() + message[1:] + ".", f"{self.prog} --help", exit_code=2)


def main(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    try:
        return _dispatch(list(arguments))
    except UserError as error:
        print(f"servelab: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nservelab: Stopped. Run the same command again to go on.", file=sys.stderr)
        return 130


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        remedy = f"did you mean: python3 -m helpers {close[0]}" if close else "python3 -m helpers --help"
        raise UserError(f"There is no command {name!r}.", remedy, exit_code=2)
    command = importlib.import_module(f"helpers.cli.{name}")
    parsed = parse(name, command, rest)
    extras = getattr(command, "EXTRAS", None)
    if extras is not None:
        elsewhere = enter_environment(extras, arguments)
        if elsewhere is not None:
            return elsewhere
    return int(command.run(parsed))


def parse(name: str, command: ModuleType, arguments: list[str]) -> argparse.Namespace:
    """A command's own arguments; ``rest`` is what it passes on to another program."""
    parser = Parser(prog=f"python3 -m helpers {name}", description=command.SUMMARY)
    command.add_arguments(parser)
    parsed = argparse.Namespace()
    _, parsed.rest = parser.parse_known_args(arguments, parsed)
    if parsed.rest and not getattr(command, "PASSES_ON_THE_REST", False):
        parser.error(f"there is no option {' '.join(parsed.rest)}")
    return parsed


def enter_environment(extras: list[str], arguments: list[str]) -> int | None:
    """Return None if this interpreter has what is needed, else the code of a run that has."""
    from helpers.cli.environment import Environment, is_provided

    environment = Environment()
    if environment.is_ready(extras):
        if environment.is_current():
            return None
    elif not environment.is_current() and is_provided(extras):
        return None
    else:
        from helpers.cli.installer import install

        install(environment, extras)
        if environment.is_current():
            return None
    return continue_as([str(environment.python), "-m", "helpers", *arguments])


def usage() -> str:
    """What ``--help`` prints."""
    lines = ["usage: python3 -m helpers COMMAND [...]", ""]
    for name in COMMANDS:
        summary = importlib.import_module(f"helpers.cli.{name}").SUMMARY
        lines.append(f"  {name:<8} {summary}")
    lines += ["", "python3 -m helpers COMMAND --help tells more about one."]
    return "\n".join(lines)
