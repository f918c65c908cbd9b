"""Container images in plain Python: an OCI image layout, written without root, daemon or network.

An image is a few JSON files and some tar archives, each named by the digest of what is in it:

    oci-layout, index.json           where to begin
    blobs/sha256/…                   a manifest, a configuration, and a gzipped tar for each layer

Docker, podman, skopeo and containerd read this folder. The same files give the same bytes, and
a layer that was made before is not made again.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

LEVEL = 6
UNPACKED = "servelab.unpacked"  # an annotation: a layer's bytes where it runs
KINDS = {
    "index": "application/vnd.oci.image.index.v1+json",
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar+gzip",
}
# Python's names of machines, and those of images.
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Entry:
    """One file of a layer: a folder, a link to ``target``, or what ``source`` holds (a file, or the bytes)."""

    path: str
    source: Path | bytes | None = None
    target: str = ""
    mode: int = 0o644
    make: Callable[[bytes], bytes] | None = None  # from the source's bytes, those of the file; str tells how

    def content(self) -> bytes:
        raw = self.source.read_bytes() if isinstance(self.source, Path) else self.source or b""
        return self.make(raw) if self.make else raw

    def key(self) -> list[object]:
        """What decides what is in it, without making it."""
        raw = self.source.read_bytes() if isinstance(self.source, Path) else self.source
        inside = _digest(raw) if raw is not None else ""
        return [self.path, self.target, self.mode, inside, str(self.make or "")]


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


@dataclass(frozen=True)
class Built:
    """A layer in the layout: its digests, and its size packed and unpacked."""

    name: str
    digest: str
    diff: str
    packed: int
    unpacked: int
    was_there: bool


@dataclass(frozen=True)
class Image:
    """An image that was written."""

    folder: Path
    reference: str
    digest: str
    layers: tuple[Built, ...]

    @property
    def packed(self) -> int:
        """Bytes to send."""
        return sum(layer.packed for layer in self.layers)

    @property
    def unpacked(self) -> int:
        """Bytes on disk where it runs."""
        return sum(layer.unpacked for layer in self.layers)


@dataclass(frozen=True)
class Settings:
    """How a container of the image starts."""

    entrypoint: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/app"
    user: str = "10001:10001"
    port: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"


def write(
    folder: Path,
    reference: str,
    layers: Sequence[Layer],
    settings: Settings,
    machine: str,
    say: Say = lambda line: None,
) -> Image:
    """Write an image into ``folder``, beside images that are there already; of the same reference it is the new one."""
    (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    built = []
    for number, layer in enumerate(layers, start=1):
        made = _layer(folder, layer)
        how = "was there already" if made.was_there else f"{made.packed / 1e6:.1f} MB packed"
        say(f"layer {number} of {len(layers)}, {layer.name}: {made.unpacked / 1e6:.1f} MB, {how}")
        built.append(made)
    config = _blob(folder, _json(_config(built, settings, machine)))
    layer_list = [
        _descriptor("layer", made.digest, made.packed) | {"annotations": {UNPACKED: str(made.unpacked)}}
        for made in built
    ]
    told = {"schemaVersion": 2, "mediaType": KINDS["manifest"], "config": _descriptor("config", *config)}
    manifest = _blob(folder, _json({**told, "layers": layer_list}))
    named = _descriptor("manifest", *manifest) | {"annotations": {"org.opencontainers.image.ref.name": reference}}
    others = [each for each in manifests(folder) if _reference(each) != reference]
    index = {"schemaVersion": 2, "mediaType": KINDS["index"], "manifests": [*others, named]}
    _replace(folder / "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    _replace(folder / "index.json", _json(index))
    return Image(folder, reference, manifest[0], tuple(built))


def manifests(folder: Path) -> list[dict[str, Any]]:
    """What the layout's index lists."""
    try:
        found: list[dict[str, Any]] = json.loads((folder / "index.json").read_bytes())["manifests"]
    except FileNotFoundError:
        return []
    return found


def read(folder: Path, reference: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the configuration of an image."""
    for named in manifests(folder):
        if _reference(named) == reference:
            manifest = json.loads(blob(folder, named["digest"]).read_bytes())
            return manifest, json.loads(blob(folder, manifest["config"]["digest"]).read_bytes())
    raise KeyError(reference)


def unpack(folder: Path, reference: str, into: Path) -> None:
    """An image's files, as a container would see them; each layer's digest is checked."""
    manifest, config = read(folder, reference)
    for descriptor, diff in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        raw = gzip.decompress(blob(folder, descriptor["digest"]).read_bytes())
        if _digest(raw) != diff:
            raise ValueError(f"the layer {descriptor['digest']} is not what its image says")
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            archive.extractall(into, filter=_inside)


def sweep(folder: Path) -> int:
    """Remove what no image of the layout needs any more; the bytes that were freed."""
    needed = set()
    for named in manifests(folder):
        manifest = json.loads(blob(folder, named["digest"]).read_bytes())
        needed |= {named["digest"], manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])}
    freed = 0
    for path in (folder / "blobs" / "sha256").iterdir():
        if f"sha256:{path.name}" not in needed:
            freed += path.stat().st_size
            path.unlink()
    shutil.rmtree(folder / "made", ignore_errors=True)
    return freed


def blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _layer(folder: Path, layer: Layer) -> Built:
    """The layer's tar, packed; found again by what would be in it."""
    entries = layer.sorted()
    key = hashlib.sha256(f"{LEVEL}".encode())
    for entry in entries:
        key.update(json.dumps(entry.key()).encode())
    note = folder / "made" / key.hexdigest()
    if note.exists():
        kept = json.loads(note.read_bytes())
        if blob(folder, kept["digest"]).exists():
            return Built(layer.name, **kept, was_there=True)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            _add(archive, entry)
    packed = gzip.compress(raw.getbuffer(), LEVEL, mtime=0)
    digest, size = _blob(folder, packed)
    kept = {"digest": digest, "diff": _digest(raw.getbuffer()), "packed": size, "unpacked": raw.getbuffer().nbytes}
    note.parent.mkdir(exist_ok=True)
    _replace(note, _json(kept))
    return Built(layer.name, **kept, was_there=False)


def _inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Nothing may be written outside of the folder; but /tmp stays everyone's."""
    return tarfile.tar_filter(member, folder).replace(mode=member.mode & 0o1777, deep=False)


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    """One entry, with nothing in it of when, where and by whom it was made."""
    about = tarfile.TarInfo(entry.path)
    about.mode, about.mtime = entry.mode, 0
    if entry.target:
        about.type, about.linkname, about.mode = tarfile.SYMTYPE, entry.target, 0o777
        archive.addfile(about)
    elif entry.source is None:
        about.type = tarfile.DIRTYPE
        archive.addfile(about)
    else:
        content = entry.content()
        about.size = len(content)
        archive.addfile(about, io.BytesIO(content))


def _config(built: Iterable[Built], settings: Settings, machine: str) -> dict[str, Any]:
    built = list(built)
    started = {
        "Entrypoint": list(settings.entrypoint),
        "Env": [f"{name}={value}" for name, value in sorted(settings.environment.items())],
        "WorkingDir": settings.folder,
        "User": settings.user,
        "Labels": dict(sorted(settings.labels.items())),
        "StopSignal": settings.stop_signal,
    }
    if settings.port is not None:
        started["ExposedPorts"] = {f"{settings.port}/tcp": {}}
    return {
        "architecture": MACHINES.get(machine, machine),
        "os": "linux",
        "config": started,
        "rootfs": {"type": "layers", "diff_ids": [made.diff for made in built]},
        "history": [{"created_by": made.name} for made in built],
    }


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": KINDS[kind], "digest": digest, "size": size}


def _reference(named: Mapping[str, Any]) -> str:
    return str(named.get("annotations", {}).get("org.opencontainers.image.ref.name", ""))


def _blob(folder: Path, content: bytes) -> tuple[str, int]:
    digest = _digest(content)
    path = blob(folder, digest)
    if not path.exists():
        _replace(path, content)
    return digest, len(content)


def _replace(path: Path, content: bytes) -> None:
    """Written beside and renamed into place: an interrupted build leaves nothing half."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _digest(content: bytes | memoryview) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(told: object) -> bytes:
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
