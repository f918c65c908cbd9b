"""The command line: finds the command, sees to its environment, and reports errors plainly.

A command is a module with ``SUMMARY``, ``add_arguments(parser)`` and
``run(arguments) -> int``; those whose imports need the environment also say
``EXTRAS``, and are run inside it.
"""

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from helpers import PROCESS_VARIABLE
from helpers.cli.continue_as import continue_as
from helpers.cli.invocation import command_line, spelled
from helpers.errors import UserError
from helpers.installed import how_to_install
from helpers.places import check_lab_home, is_checkout, lab_home

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
NEED_A_CHECKOUT = {"setup", "lab", "test", "start", "status", "build"}  # of the course's notebooks


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one sentence and a remedy."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message[:1].upper() + message[1:] + ".", f"{self.prog} --help", exit_code=2)

    def format_help(self) -> str:
        return spelled(super().format_help())


class NeedsCheckout(UserError):
    """A command of the course in an installed package; its remedy is a command in a checkout."""


def installed_command() -> int:
    """What the script ``servelab`` of an installed package runs."""
    return main(sys.argv[1:])


def main(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    try:
        return _dispatch(list(arguments))
    except UserError as error:
        text = str(error) if isinstance(error, NeedsCheckout) else spelled(str(error))
        print(f"servelab: {text}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if not _is_in_lab_home(error):
            raise
        sentence = f"The folder for models and results, {lab_home()}, cannot be used ({error.strerror})."
        remedy = "check who owns it, or set the variable SERVELAB_HOME to a folder of your own."
        print(f"servelab: {UserError(sentence, remedy)}", file=sys.stderr)
        return 1
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
        remedy = f"did you mean: {command_line(close[0])}" if close else command_line("--help")
        raise UserError(f"There is no command {name!r}.", remedy, exit_code=2)
    command = importlib.import_module(f"helpers.cli.{name}")
    parsed = parse(name, command, rest)
    if name in NEED_A_CHECKOUT and not is_checkout():
        raise NeedsCheckout(
            f"The command {name} needs a checkout of the course, and this is an installed package.",
            f"clone the course's repository with git, and run in its folder: python3 -m helpers {' '.join(arguments)}",
        )
    if name not in ("setup", "doctor"):
        check_lab_home()
    extras = getattr(command, "EXTRAS", None)
    if extras is not None:
        elsewhere = enter_environment(extras, arguments)
        if elsewhere is not None:
            return elsewhere
    return int(command.run(parsed))


def parse(name: str, command: ModuleType, arguments: list[str]) -> argparse.Namespace:
    """A command's own arguments; ``rest`` is what it passes on to another program."""
    parser = Parser(prog=command_line(name), description=command.SUMMARY)
    command.add_arguments(parser)
    parsed = argparse.Namespace()
    _, parsed.rest = parser.parse_known_args(arguments, parsed)
    if parsed.rest and not getattr(command, "PASSES_ON_THE_REST", False):
        parser.error(f"there is no option {' '.join(parsed.rest)}")
    return parsed


def enter_environment(extras: list[str], arguments: list[str]) -> int | None:
    """Return None if this interpreter has what is needed, else the code of a run that has."""
    from helpers.cli.environment import Environment, State, is_child
    from helpers.cli.requirements import is_provided, not_provided

    if not is_checkout():
        if missing := not_provided(extras):
            raise UserError(
                f"This needs packages that are not installed: {', '.join(sorted(missing))}.", how_to_install(*extras)
            )
        return None
    environment = Environment()
    if not environment.is_ready(extras):
        mine = environment.is_current() and environment.state() is not State.FOREIGN
        if not mine and is_provided(extras):
            return None
        from helpers.cli.installer import make_usable

        make_usable(environment, extras)
    if environment.is_current():
        return None
    variables = dict(os.environ)
    if not is_child():  # nor is the same command in another interpreter, which on Windows is a new process
        variables.pop(PROCESS_VARIABLE, None)
    return continue_as([str(environment.python), "-m", "helpers", *arguments], variables)


def usage() -> str:
    """What ``--help`` prints."""
    lines = [f"usage: {command_line('COMMAND [...]')}", ""]
    for name in COMMANDS:
        summary = importlib.import_module(f"helpers.cli.{name}").SUMMARY
        lines.append(f"  {name:<8} {summary}")
    lines += ["", f"{command_line('COMMAND --help')} tells more about one."]
    return "\n".join(lines)


def _is_in_lab_home(error: OSError) -> bool:
    named = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return any(path == lab_home() or lab_home() in path.parents or path in lab_home().parents for path in named)
