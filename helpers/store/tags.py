"""Tags: ``digits``, ``digits:3``, ``digits:prod``. What is no tag never becomes a path."""

import re
from dataclasses import dataclass

from helpers.errors import UserError

LATEST = "latest"
PART = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
# Windows takes these for devices, with any ending.
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


@dataclass(frozen=True)
class Tag:
    """A model's name, and a version of it: its own name, an alias, or ``latest``."""

    name: str
    version: str = LATEST

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


def parse_tag(text: str) -> Tag:
    """``name`` or ``name:version``; without a version, the latest is meant."""
    name, colon, version = str(text).partition(":")
    return Tag(check_part(name, "name"), check_part(version, "version") if colon else LATEST)


def check_part(text: str, what: str) -> str:
    """The text, if a folder on any system can be called so."""
    if not isinstance(text, str) or not PART.fullmatch(text) or ".." in text or DEVICES.fullmatch(text):
        raise UserError(
            f"{text!r:.80} is no {what} for a model.",
            "use up to 64 of a-z, 0-9, dot, dash and underscore, with a letter or digit at both ends: digits:3.",
            exit_code=2,
        )
    return text


def check_version_name(text: str) -> str:
    """A version that the caller names: not one that the store counts, and not its word for the newest."""
    check_part(text, "version")
    if text == LATEST or (text.isdigit() and str(int(text)) != text):
        raise UserError(f"A version cannot be called {text!r}.", "name another, or none: then it gets a number.", 2)
    return text


def check_alias(text: str) -> str:
    """An alias must not look like a version that the store counts."""
    check_part(text, "alias")
    if text == LATEST or text.isdigit():
        raise UserError(f"An alias cannot be called {text!r}.", "use a word, such as prod.", exit_code=2)
    return text
