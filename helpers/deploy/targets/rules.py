"""What the checks of all platforms have in common: reading strictly, and saying what is wrong in one sentence."""

import json
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from helpers.deploy.packing import Bundle
from helpers.errors import UserError
from helpers.installed import how_to_install

T = TypeVar("T")
PORT = 8080  # on which platforms expect a container to listen, unless they are told another
READY, LIVE = "/readyz", "/livez"


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A part of a document: a key that is not known is a mistake, most often one of spelling."""


def expect(true: object, sentence: str, remedy: str) -> None:
    if not true:
        raise UserError(sentence, remedy)


def text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        raise UserError(f"{path.name} is missing or cannot be read.", "write the target again.") from None


def strictly(path: Path, type_: type[T]) -> T:
    """A YAML or JSON file as the type says; what does not fit is told with its place."""
    content = text_of(path)
    try:
        if path.suffix == ".json":
            return msgspec.json.decode(content, type=type_)
        _expect_yaml()
        return msgspec.yaml.decode(content, type=type_)
    except msgspec.DecodeError as error:
        raise UserError(f"{path.name}: {_one_line(error)}.", "correct it, or write the target again.") from None


def document(path: Path) -> dict[str, Any]:
    """A YAML file that has exactly one object."""
    return strictly(path, dict[str, Any])


def at(found: Any, place: str, where: str) -> Any:
    """What stands at ``spec.template.spec``; parts that are numbers count in lists."""
    for part in place.split("."):
        try:
            found = found[int(part)] if part.isdigit() else found[part]
        except (KeyError, IndexError, TypeError):
            raise UserError(f"{where} has no {place}.", "correct it, or write the target again.") from None
    return found


def expect_tag(image: str, where: str) -> None:
    """An image is named by what never comes to mean another: a version, or a digest."""
    if re.search(r"@sha256:[0-9a-f]{64}$", image):
        return
    tag = "" if "@" in image else image.rpartition("/")[2].partition(":")[2]
    expect(
        tag and tag != "latest" and re.fullmatch(r"[\w.-]{1,128}", tag),
        f"{where}: the image {image} has {f'the tag {tag}' if tag else 'no tag'}, which is another image tomorrow.",
        "name its version: NAME:VERSION, or NAME@sha256:….",
    )


def expect_pinned(path: Path) -> None:
    """Each line of a requirements file names one version."""
    for line in text_of(path).splitlines():
        if line.strip() and not line.startswith("#"):
            expect(
                re.fullmatch(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==[\w.!+]+", line.strip()),
                f"{path.name}: {line.strip()[:80]} is not one exact version.",
                "write NAME==VERSION.",
            )


def label(name: str) -> str:
    """A name as platforms allow it: small letters, digits and dashes, and a letter first."""
    dashed = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (dashed if dashed[:1].isalpha() else f"s-{dashed}")[:50].rstrip("-")


def python_of(bundle: Bundle) -> str:
    """Of which Python its lock is."""
    return str(json.loads((bundle.path / "bundle.json").read_text("utf-8"))["python"])


def _expect_yaml() -> None:
    try:
        import yaml  # noqa: F401
    except ImportError:
        raise UserError("YAML cannot be read here: PyYAML is not installed.", how_to_install("deploy")) from None


def _one_line(error: Exception) -> str:
    text = re.sub(r"\s+", " ", str(error)).rstrip(".")
    return text[:300]
