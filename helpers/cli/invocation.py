"""How a person runs this program: ``python3 -m helpers`` in a checkout, ``servelab`` once it is installed."""

import sys
from pathlib import Path

from helpers.places import is_checkout

IN_A_CHECKOUT = "python3 -m helpers"
INSTALLED = "servelab"


def program() -> str:
    """What a person types in front of a command here."""
    by_script = Path(sys.argv[0]).stem == INSTALLED
    return INSTALLED if by_script or not is_checkout() else IN_A_CHECKOUT


def command_line(command: str) -> str:
    """A command as it is typed here.

    >>> command_line("serve digits")
    'python3 -m helpers serve digits'
    """
    return f"{program()} {command}"


def spelled(text: str) -> str:
    """A text whose commands are written for a checkout, as it reads here."""
    return text if program() == IN_A_CHECKOUT else text.replace(IN_A_CHECKOUT, program())
