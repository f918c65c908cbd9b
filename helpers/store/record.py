"""``model.json``: what is known of one version without opening the model."""

from pathlib import Path
from typing import Any

import msgspec

from helpers import atomic_files
from helpers.errors import UserError

FILE = "model.json"
SCHEMA = 1


class TensorInfo(msgspec.Struct, frozen=True):
    """One input or output: an axis is a number if it is fixed, and a name if it may have any size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """One way to call the model. ``batchable``: rows of several callers may be put together."""

    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    batchable: bool = True
    batch_axis: int = 0


class File(msgspec.Struct, frozen=True):
    """A file of the version, by its path inside it."""

    bytes: int
    sha256: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one model. It never changes."""

    name: str
    version: str
    sequence: int
    format: str
    created: str
    digest: str
    files: dict[str, File]
    details: dict[str, str] = {}
    signatures: dict[str, Signature] = {}
    labels: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    custom_objects: dict[str, str] = {}
    libraries: dict[str, str] = {}
    schema: int = SCHEMA

    @property
    def tag(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files.values())


def write_record(record: Record, folder: Path) -> None:
    text = msgspec.json.format(msgspec.json.encode(record), indent=1)
    atomic_files.write(folder / FILE, text + b"\n", durable=True, folder=folder)


def read_record(folder: Path) -> Record:
    """The record in a version's folder, or one sentence about why there is none."""
    path = folder / FILE
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "remove this version and save it again.") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise UserError(f"{path} is damaged: {error}.", "remove this version and save it again.") from None
    if record.schema > SCHEMA:
        raise UserError(f"{path} was written by a newer release.", "use that release to read it.")
    return record
