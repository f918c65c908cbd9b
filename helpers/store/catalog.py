"""The store itself: save, find and load versions of models by their tags."""

import builtins
import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from helpers.errors import UserError
from helpers.installed import expect_installed
from helpers.places import lab_home
from helpers.runtime.providers import default_device
from helpers.store import shelf as shelves
from helpers.store.custom_objects import PICKLE, read_custom, write_custom
from helpers.store.formats import Format, format_called, format_for
from helpers.store.record import Record, Signature, read_record, write_record
from helpers.store.shelf import Shelf
from helpers.store.tags import LATEST, Tag, check_alias, check_part, check_version_name, parse_tag


@dataclass(frozen=True)
class Stored:
    """One version, found and not yet opened."""

    record: Record
    path: Path
    aliases: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        return self.record.tag

    def verify(self) -> None:
        """Refuse files that are not those that were saved."""
        wrong = shelves.differences(self.path, self.record.files)
        if wrong or shelves.digest_of(self.record.files) != self.record.digest:
            raise UserError(
                f"{self.tag} is not what was saved: {', '.join(wrong[:3]) or 'its record was changed'}.",
                "remove this version, and save the model again.",
            )

    def load(self, device: str | None = None, trust: bool = False) -> Any:
        """The model, verified and ready, on the process's default device unless one is named.

        ``trust`` opens formats that can run code.
        """
        known = format_called(self.record.format)
        if known.runs_code and not trust:
            raise UserError(
                f"{self.tag} is a {known.name} model; opening such a file can run any code that is in it.",
                "if you know who saved it, load it with trust=True; an ONNX file needs no trust.",
            )
        expect_installed(f"A {known.name} model", known.needs)
        self.verify()
        return known.read(self.path, self.record.details, device or default_device())

    def custom_objects(self, trust: bool = False) -> dict[str, Any]:
        """What was saved beside the model: class names, a transform, a tokenizer."""
        pickled = [name for name, kind in self.record.custom_objects.items() if kind == PICKLE]
        if pickled and not trust:
            raise UserError(
                f"{self.tag} keeps {', '.join(pickled)} as a pickle; opening it can run any code that is in it.",
                "if you know who saved it, pass trust=True.",
            )
        self.verify()
        return read_custom(self.path, self.record.custom_objects)


class Store:
    """A folder of models. Any number of processes may use it at once."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root) if root is not None else lab_home() / "store"

    def save(
        self,
        name: str,
        model: Any,
        version: str | None = None,
        signatures: Mapping[str, Signature] | None = None,
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        custom_objects: Mapping[str, Any] | None = None,
    ) -> Stored:
        """Keep a model as a new version: the next number, unless ``version`` names it.

        >>> save("digits", "digits.onnx", labels={"stage": "trial"})  # doctest: +SKIP
        """
        shelf = Shelf(self.root, check_part(name, "name"))
        if version is not None and check_version_name(version) in shelf.aliases():
            raise UserError(f"{name}:{version} is an alias already.", "choose another version, or remove the alias.", 2)
        known = format_for(model)
        expect_installed(f"A {known.name} model", known.needs)
        checked_labels, checked_metadata = _labels(labels or {}), _metadata(metadata or {})
        try:
            with shelf.new_folder() as folder:
                details = known.write(model, folder)
                kinds = write_custom(custom_objects or {}, folder)
                files = shelves.measure(folder)
                record = Record(
                    name=name,
                    version=version or "",
                    sequence=0,
                    format=known.name,
                    created=datetime.now(UTC).isoformat(timespec="seconds"),
                    digest=shelves.digest_of(files),
                    files=files,
                    details=details,
                    signatures=dict(signatures or known.signatures(folder)),
                    labels=checked_labels,
                    metadata=checked_metadata,
                    custom_objects=kinds,
                    libraries=_libraries(known),
                )
                return self._publish(shelf, folder, record, version)
        except OSError as error:
            raise UserError(
                f"{name} could not be saved in {self.root}: {error.strerror or error}.",
                "see that there is room, and that you may write there; nothing half-saved is left.",
            ) from error

    def get(self, tag: str) -> Stored:
        """A version by its tag, without opening the model."""
        shelf, version, aliases = self._resolve(parse_tag(tag))
        return self._stored(shelf, version, aliases)

    def load(self, tag: str, device: str | None = None, trust: bool = False) -> Any:
        """A model by its tag, verified and ready to answer."""
        return self.get(tag).load(device, trust)

    def list(
        self, name: str | None = None, format: str | None = None, labels: Mapping[str, str] | None = None
    ) -> "builtins.list[Stored]":
        """The versions that fit, by name and the newest first; ``damaged`` tells of those that cannot be read."""
        names = [check_part(name, "name")] if name is not None else self.names()
        return [
            stored
            for each in names
            for stored in sorted(self._all_of(each, damaged_too=False), key=_age, reverse=True)
            if format in (None, stored.record.format) and (labels or {}).items() <= stored.record.labels.items()
        ]

    def newest(self, name: str, **labels: str) -> Stored:
        """The newest version that has all of these labels."""
        fitting = self.list(name, labels=labels)
        if not fitting:
            wanted = " and ".join(f"{key}={value}" for key, value in labels.items()) or "any label"
            raise UserError(f"{name} has no version with {wanted}.", f"see: python3 -m helpers store list {name}", 2)
        return fitting[0]

    def alias(self, tag: str, alias: str) -> Stored:
        """Let ``name:alias`` mean this version from now on; whoever asks sees the old one or the new one."""
        stored, shelf = self.get(tag), Shelf(self.root, parse_tag(tag).name)
        if check_alias(alias) in shelf.versions():
            raise UserError(f"{stored.record.name}:{alias} is a version.", "choose another name for the alias.", 2)
        shelf.set_alias(alias, stored.record.version)
        return self.get(stored.tag)

    def remove_alias(self, tag: str) -> None:
        """Forget an alias; the version that it stood for stays."""
        wanted = parse_tag(tag)
        shelf = Shelf(self.root, wanted.name)
        if wanted.version not in shelf.aliases():
            raise UserError(f"{wanted.name} has no alias {wanted.version!r}.", "see: python3 -m helpers store list", 2)
        shelf.remove_alias(wanted.version)

    def remove(self, tag: str) -> str:
        """Remove one version, and return its tag. Its number is not given again."""
        wanted = parse_tag(tag)
        if ":" not in tag:
            raise UserError(
                f"Which version of {wanted.name}?", f"name it: {wanted.name}:1, or {wanted.name}:latest.", 2
            )
        shelf, version, aliases = self._resolve(wanted)
        meant_by = sorted(alias for alias, meant in aliases.items() if meant == version)
        if meant_by:
            raise UserError(
                f"{wanted.name}:{version} is what {' and '.join(meant_by)} stands for.",
                "let the alias stand for another version first, or remove it.",
            )
        shelf.retire(version)
        return f"{wanted.name}:{version}"

    def damaged(self, name: str) -> "builtins.list[str]":
        """The tags of versions whose record cannot be read; they can only be removed."""
        shelf, found = Shelf(self.root, check_part(name, "name")), []
        for version in sorted(shelf.versions(), key=_natural):
            try:
                read_record(shelf.path / version)
            except UserError:
                found.append(f"{name}:{version}")
        return found

    def names(self) -> "builtins.list[str]":
        """The models that have a version."""
        if not self.root.is_dir():
            return []
        there = sorted(entry.name for entry in self.root.iterdir() if entry.is_dir())
        return [name for name in there if Shelf(self.root, name).versions()]

    def _resolve(self, wanted: Tag) -> tuple[Shelf, str, dict[str, str]]:
        """Which version a tag means."""
        shelf = Shelf(self.root, wanted.name)
        versions, aliases = shelf.versions(), shelf.aliases()
        if not versions:
            names = self.names()
            there_are = (
                f"there are: {', '.join(names)}." if names else "the store is empty: python3 -m helpers store add"
            )
            raise UserError(f"There is no model called {wanted.name!r}.", there_are, 2)
        if wanted.version == LATEST:
            return shelf, max(self._all_of(wanted.name), key=_age).record.version, aliases
        version = aliases.get(wanted.version, wanted.version)
        if version not in versions:
            there_are = ", ".join([*sorted(versions, key=_natural), *sorted(aliases), LATEST])
            raise UserError(f"{wanted.name} has no version {wanted.version!r}.", f"choose from: {there_are}.", 2)
        return shelf, version, aliases

    def _publish(self, shelf: Shelf, folder: Path, record: Record, version: str | None) -> Stored:
        while True:
            chosen = version or str(shelf.next_number())
            numbers = [stored.record.sequence for stored in self._all_of(record.name, damaged_too=False)]
            record = msgspec.structs.replace(record, version=chosen, sequence=max(numbers, default=0) + 1)
            write_record(record, folder)
            if shelf.publish(folder, chosen):
                return Stored(record, shelf.path / chosen)
            if version is not None:
                raise UserError(f"{record.tag} is there already.", "versions do not change: name another one.", 2)

    def _all_of(self, name: str, damaged_too: bool = True) -> "builtins.list[Stored]":
        """Every version; one that is damaged is an error where it matters which is the newest."""
        shelf = Shelf(self.root, name)
        aliases = shelf.aliases()
        found = []
        for version in shelf.versions():
            try:
                found.append(self._stored(shelf, version, aliases))
            except UserError:
                if damaged_too and (shelf.path / version).exists():  # and not removed while we looked
                    raise
        return found

    def _stored(self, shelf: Shelf, version: str, aliases: Mapping[str, str]) -> Stored:
        folder = shelf.path / version
        names = tuple(sorted(alias for alias, meant in aliases.items() if meant == version))
        return Stored(read_record(folder), folder, names)


def _age(stored: Stored) -> tuple[int, str, tuple[int, str]]:
    return stored.record.sequence, stored.record.created, _natural(stored.record.version)


def _natural(version: str) -> tuple[int, str]:
    """2 before 10, and numbers before words."""
    return (int(version), "") if version.isdigit() else (1 << 60, version)


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    for key, value in labels.items():
        if not (isinstance(key, str) and isinstance(value, str) and key.isprintable() and value.isprintable() and key):
            raise UserError(f"The label {key!r}={value!r} is not text.", "labels are words: stage=trial.", 2)
    return dict(labels)


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON will give it back."""
    try:
        return dict(msgspec.json.decode(msgspec.json.encode(metadata)))
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"The metadata cannot be kept: {error}.", "use text, numbers, lists and dictionaries.", 2
        ) from None


def _libraries(known: Format) -> dict[str, str]:
    """The versions that wrote the model, for whoever wonders later."""
    found = {"python": platform.python_version()}
    for package in ("onnxruntime", *known.needs):
        name = {"sklearn": "scikit-learn"}.get(package, package)
        for candidate in (name, f"{name}-cpu"):
            try:
                found[name] = importlib.metadata.version(candidate)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return found
