"""``--help``: every argument is described, and the examples are commands that the parser takes."""

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator

import pytest

from helpers.cli import COMMANDS, Parser, main

WITH_EXAMPLES = ["serve", "bundle", "image", "target", "score", "package", "store"]


def parser_of(name: str) -> Parser:
    parser = Parser(prog=name)
    importlib.import_module(f"helpers.cli.{name}").add_arguments(parser)
    return parser


def parsers(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A command's parser, and those of its subcommands."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for kind, each in action.choices.items():
                yield from parsers(each, f"{name} {kind}")


ALL = [(name, parser) for command in COMMANDS for name, parser in parsers(parser_of(command), command)]


@pytest.mark.parametrize(("name", "parser"), ALL, ids=[name for name, _ in ALL])
def test_every_argument_is_described(name: str, parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        assert action.help and action.help.strip() not in ("", argparse.SUPPRESS), (name, action.dest)
        assert not action.help.startswith("default:"), f"{name}: {action.dest} says its default, and not what it is"
        if action.choices is not None and isinstance(action, argparse._SubParsersAction):
            assert {each.dest for each in action._choices_actions} == set(action.choices)
            assert all(each.help for each in action._choices_actions)


@pytest.mark.parametrize("command", WITH_EXAMPLES)
def test_help_shows_examples_that_parse(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    found = re.findall(r"^  python3 -m helpers (\w+) ([^\n]*)", shown, re.MULTILINE)
    own = [arguments for name, arguments in found if name == command]
    assert own, "an example of its own"
    for name, arguments in found:
        parser_of(name).parse_args(shlex.split(re.split(r"   +", arguments)[0]))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_shown_in_eighty_columns_and_says_what_it_is(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: python3 -m helpers {command}" in capsys.readouterr().out
