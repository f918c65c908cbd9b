"""A layer of an image: its files as a tar archive, packed, the same files always to the same bytes."""

import contextlib
import hashlib
import io
import json
import os
import sys
import tarfile
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from helpers.deploy.bytecode import Source, all_compiled

# On two cores a gigabyte takes 5 s; at zlib's usual 6 it takes 21 s and comes out a tenth smaller.
LEVEL = 2
BLOCK = 4 << 20  # packed by one thread at a time; a part of what the bytes are, as LEVEL is


@dataclass(frozen=True)
class Entry:
    """One file of a layer: a folder, a link to ``target``, or what ``source`` holds (a file, or the bytes)."""

    path: str
    source: Path | bytes | None = None
    target: str = ""
    mode: int = 0o644
    compiled_as: str = ""  # it holds the bytecode of the module that ``source`` is, under this name

    def key(self) -> list[object]:
        """What decides what is in it, without making it."""
        inside = ""
        if isinstance(self.source, Path):
            with self.source.open("rb") as file:
                inside = hashlib.file_digest(file, "sha256").hexdigest()
        elif self.source is not None:
            inside = hashlib.sha256(self.source).hexdigest()
        how = f"{sys.version} {self.compiled_as}" if self.compiled_as else ""
        return [self.path, self.target, self.mode, inside, how]

    def add_to(self, archive: tarfile.TarFile, content: bytes | None = None) -> None:
        """With nothing in it of when, where and by whom it was made; ``content``, if it is not the source's own."""
        about = tarfile.TarInfo(self.path)
        about.mode, about.mtime = self.mode, 0
        if self.target:
            about.type, about.linkname, about.mode = tarfile.SYMTYPE, self.target, 0o777
            archive.addfile(about)
        elif self.source is None:
            about.type = tarfile.DIRTYPE
            archive.addfile(about)
        elif isinstance(self.source, Path) and content is None:
            with self.source.open("rb") as file:
                about.size = os.fstat(file.fileno()).st_size
                archive.addfile(about, file)
        else:
            inside = self.source if content is None else content
            assert isinstance(inside, bytes)
            about.size = len(inside)
            archive.addfile(about, io.BytesIO(inside))


@dataclass(frozen=True)
class Layer:
    """Files that change together."""

    name: str
    entries: tuple[Entry, ...]

    def sorted(self) -> list[Entry]:
        """Each path once (the last one counts), with the folders that lead to it."""
        found = {entry.path: entry for entry in self.entries}
        for path in list(found):
            for folder in PurePosixPath(path).parents:
                if str(folder) not in (".", "/"):
                    found.setdefault(str(folder), Entry(str(folder), mode=0o755))
        return [found[path] for path in sorted(found)]

    def key(self) -> str:
        """By which a layer that was packed before is found again."""
        key = hashlib.sha256(f"{LEVEL} {BLOCK}".encode())
        for entry in self.sorted():
            key.update(json.dumps(entry.key()).encode())
        return key.hexdigest()

    def pack(self, into: BinaryIO) -> "Packed":
        """Write the archive into a file; it is never whole in memory."""
        entries = self.sorted()
        modules = [
            Source(each.source, each.compiled_as)
            for each in entries
            if isinstance(each.source, Path) and each.compiled_as
        ]
        with PackedWriter(into) as writer, contextlib.closing(all_compiled(modules)) as bytecode:
            file = cast(BinaryIO, writer)  # as much of one as a stream needs
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK) as archive:
                for entry in entries:
                    entry.add_to(archive, next(bytecode) if entry.compiled_as else None)
        return writer.packed


@dataclass(frozen=True)
class Packed:
    """What was written: the digests and sizes of the archive, packed and as it was."""

    digest: str
    diff: str
    packed: int
    unpacked: int


class PackedWriter:
    """A file to write to, which packs a block in each of some threads: zlib lets go of Python's lock.

    Each block becomes a gzip member of its own, so that it does not matter how many threads there
    are; all that reads gzip reads members one after the other as one.
    """

    def __init__(self, into: BinaryIO) -> None:
        self._into = into
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "pack")
        self._waiting: deque[Future[bytes]] = deque()
        self._block = bytearray()
        self._raw, self._digest = hashlib.sha256(), hashlib.sha256()
        self._raw_bytes = self._bytes = 0

    def __enter__(self) -> "PackedWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                if self._block:
                    self._submit(len(self._block))
                self._write_out(at_most=0)
        finally:
            self._threads.shutdown(cancel_futures=True)

    def write(self, data: bytes) -> int:
        self._block += data
        while len(self._block) >= BLOCK:
            self._submit(BLOCK)
        return len(data)

    @property
    def packed(self) -> Packed:
        """Once all is written."""
        digest, diff = (f"sha256:{each.hexdigest()}" for each in (self._digest, self._raw))
        return Packed(digest, diff, self._bytes, self._raw_bytes)

    def _submit(self, size: int) -> None:
        block = bytes(self._block[:size])
        del self._block[:size]
        self._raw.update(block)
        self._raw_bytes += len(block)
        self._waiting.append(self._threads.submit(zlib.compress, block, LEVEL, wbits=31))
        self._write_out(at_most=2 * (os.cpu_count() or 1))

    def _write_out(self, at_most: int) -> None:
        while len(self._waiting) > at_most:
            packed = self._waiting.popleft().result()
            self._into.write(packed)
            self._digest.update(packed)
            self._bytes += len(packed)
