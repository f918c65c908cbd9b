"""``store …``: the models that are kept here, by name and version."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.cli.invocation import command_line
from helpers.errors import UserError
from helpers.text_table import aligned

if TYPE_CHECKING:
    from helpers.store import Stored

SUMMARY = "keep models by name and version: add, list, show, alias, remove"
EXTRAS: list[str] = []  # the lean core is enough

EXAMPLES = """
for example:
  python3 -m helpers store add digits digits.onnx --label stage=trial
  python3 -m helpers store list
  python3 -m helpers store alias digits:1 prod
  python3 -m helpers store show digits:prod
  python3 -m helpers store remove digits:1

python3 -m helpers store WHAT --help tells more about one of them. The store lies in .lab/store, or in the folder
that the variable SERVELAB_HOME names.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT", help="one of:")
    add = kinds.add_parser("add", help="keep an ONNX file, or a SavedModel's folder, as a new version")
    add.add_argument("name", help="the model's name: digits")
    add.add_argument("file", type=Path, help="FILE.onnx, with its weights beside it if it has a second file")
    add.add_argument("--version", help="call the version so; without it, it gets the next number")
    add.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="may be given several times")
    add.add_argument("--alias", help="let NAME:ALIAS mean this version")
    listed = kinds.add_parser("list", help="what is in the store, the newest first")
    listed.add_argument("name", nargs="?", help="only this model")
    listed.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="only versions with it")
    show = kinds.add_parser("show", help="everything that is known of one version, as JSON")
    show.add_argument("tag", help="digits, digits:3 or digits:prod")
    alias = kinds.add_parser("alias", help="let NAME:ALIAS mean a version from now on")
    alias.add_argument("tag", help="the version: digits:3")
    alias.add_argument("alias", help="the word: prod")
    remove = kinds.add_parser("remove", help="remove one version; its number is not given again")
    remove.add_argument("tag", help="digits:3")


def run(arguments: argparse.Namespace) -> int:
    """Each subcommand is a function of this module."""
    {"add": _add, "list": _list, "show": _show, "alias": _alias, "remove": _remove}[arguments.what](arguments)
    return 0


def _add(arguments: argparse.Namespace) -> None:
    from helpers import store
    from helpers.store.formats.onnx import needed_locale

    if not arguments.file.exists():
        raise UserError(f"There is no file {arguments.file}.", "check its name.", 2)
    stored = store.save(arguments.name, arguments.file, version=arguments.version, labels=_labels(arguments.label))
    if arguments.alias:
        stored = store.alias(stored.tag, arguments.alias)
    print(f"Saved {stored.tag}: {stored.record.format}, {_size(stored.record.bytes)}.")
    locale = needed_locale(stored.path) if stored.record.format == "onnx" else None
    if locale:
        print(f"It changes the case of text with the locale {locale}: each machine that serves it needs that locale.")
    for name, signature in stored.record.signatures.items():
        for what, tensors in (("takes", signature.inputs), ("gives", signature.outputs)):
            said = ", ".join(f"{t.name}: {t.dtype} ({', '.join(map(str, t.shape))})" for t in tensors)
            print(f"  {name} {what} {said}")


def _list(arguments: argparse.Namespace) -> None:
    from helpers.store import Store

    store = Store()
    found = store.list(arguments.name, labels=_labels(arguments.label))
    damaged = [tag for name in ([arguments.name] if arguments.name else store.names()) for tag in store.damaged(name)]
    if found:
        print(aligned(["tag", "format", "size", "created (UTC)", "labels", "aliases"], [_row(each) for each in found]))
    elif not damaged:
        print("Nothing fits." if arguments.name or arguments.label else "The store is empty.")
    for tag in damaged:
        print(f"{tag} is damaged and cannot be read: {command_line('store remove')} {tag}")


def _show(arguments: argparse.Namespace) -> None:
    import msgspec

    from helpers import store

    stored = store.get(arguments.tag)
    shown = {**msgspec.to_builtins(stored.record), "aliases": stored.aliases, "path": str(stored.path)}
    print(msgspec.json.format(msgspec.json.encode(shown), indent=1).decode())


def _alias(arguments: argparse.Namespace) -> None:
    from helpers import store

    stored = store.alias(arguments.tag, arguments.alias)
    print(f"{stored.record.name}:{arguments.alias} means {stored.tag} now.")


def _remove(arguments: argparse.Namespace) -> None:
    from helpers import store

    print(f"Removed {store.remove(arguments.tag)}.")


def _row(stored: "Stored") -> list[str]:
    record = stored.record
    labels = ", ".join(f"{key}={value}" for key, value in sorted(record.labels.items()))
    created = record.created[:16].replace("T", " ")
    return [record.tag, record.format, _size(record.bytes), created, labels, ", ".join(stored.aliases)]


def _labels(texts: list[str]) -> dict[str, str]:
    for text in texts:
        if not text.partition("=")[1] or text.startswith("="):
            raise UserError(f"{text!r} is no label.", "write KEY=VALUE: --label stage=trial.", 2)
    return {text.partition("=")[0]: text.partition("=")[2] for text in texts}


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
