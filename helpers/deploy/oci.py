"""Container images in plain Python: an OCI image layout, written without root, daemon or network.

An image is a few JSON files and some tar archives, each named by the digest of what is in it:

    oci-layout, index.json           where to begin
    blobs/sha256/…                   a manifest, a configuration, and a gzipped tar for each layer

Docker, podman, skopeo and containerd read this folder. The same files give the same bytes, and
a layer that was made before is not made again.
"""

import hashlib
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from helpers import atomic_files
from helpers.deploy.layers import Layer, Packed
from helpers.deploy.unfinished import unfinished
from helpers.errors import UserError
from helpers.process_lock import ProcessLock

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
class Built:
    """A layer in the layout, and whether it lay there before."""

    name: str
    packed: Packed
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
        return sum(layer.packed.packed for layer in self.layers)

    @property
    def unpacked(self) -> int:
        """Bytes on disk where it runs."""
        return sum(layer.packed.unpacked for layer in self.layers)


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
    with unfinished(folder, ".build-", "SERVELAB_HOME") as place:
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        while True:
            built = []
            for number, layer in enumerate(layers, start=1):
                built.append(made := _layer(folder, place, layer))
                how = "was there already" if made.was_there else f"{made.packed.packed / 1e6:.1f} MB packed"
                size = f"{made.packed.unpacked / 1e6:.1f} MB"
                say(f"layer {number} of {len(layers)}, {layer.name}: {size}, {how}")
            config = _json(_config(built, settings, machine))
            with ProcessLock(folder / ".lock", lambda: None):
                # Who removed an image meanwhile may have taken along a layer that was found a moment ago.
                if all(blob(folder, made.packed.digest).exists() for made in built):
                    digest = _enter(folder, place, reference, built, config)
                    return Image(folder, reference, digest, tuple(built))


def _enter(folder: Path, place: Path, reference: str, built: Sequence[Built], config: bytes) -> str:
    """Write the image's own files, and its name into the index; the digest of its manifest."""
    layers = [
        _descriptor("layer", made.packed.digest, made.packed.packed)
        | {"annotations": {UNPACKED: str(made.packed.unpacked)}}
        for made in built
    ]
    told = {"schemaVersion": 2, "mediaType": KINDS["manifest"], "config": _blob(folder, place, "config", config)}
    named = _blob(folder, place, "manifest", _json({**told, "layers": layers}))
    named |= {"annotations": {"org.opencontainers.image.ref.name": reference}}
    atomic_files.write(folder / "oci-layout", _json({"imageLayoutVersion": "1.0.0"}), folder=place)
    _write_index(folder, place, [*(each for each in manifests(folder) if _reference(each) != reference), named])
    return str(named["digest"])


def remove(folder: Path, reference: str) -> int:
    """Take an image away, and the layers that no other needs; the bytes that were freed."""
    freed = 0
    with unfinished(folder, ".build-", "SERVELAB_HOME") as place, ProcessLock(folder / ".lock", lambda: None):
        rest = [each for each in manifests(folder) if _reference(each) != reference]
        _write_index(folder, place, rest)
        needed = set()
        for named in rest:
            manifest = json.loads(_checked(folder, named["digest"]).read_bytes())
            layers = (layer["digest"] for layer in manifest["layers"])
            needed |= {named["digest"], manifest["config"]["digest"], *layers}
        for path in (folder / "blobs" / "sha256").iterdir():
            if f"sha256:{path.name}" not in needed:
                freed += path.stat().st_size
                path.unlink()
    return freed


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
            manifest = json.loads(_checked(folder, named["digest"]).read_bytes())
            return manifest, json.loads(_checked(folder, manifest["config"]["digest"]).read_bytes())
    raise KeyError(reference)


def unpack(folder: Path, reference: str, into: Path) -> None:
    """An image's files, as a container would see them; each layer's digest is checked."""
    manifest, _ = read(folder, reference)
    for descriptor in manifest["layers"]:
        with tarfile.open(_checked(folder, descriptor["digest"]), "r:gz") as archive:
            archive.extractall(into, filter=_inside)


def blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _layer(folder: Path, place: Path, layer: Layer) -> Built:
    """The layer's tar, packed; found again by what would be in it."""
    note = folder / "made" / layer.key()
    if note.exists():
        kept = Packed(**json.loads(note.read_bytes()))
        if blob(folder, kept.digest).exists():
            return Built(layer.name, kept, was_there=True)
    beside = place / "layer"
    with beside.open("wb") as file:
        packed = layer.pack(file)
    beside.replace(blob(folder, packed.digest))  # its name is the digest of what was written
    note.parent.mkdir(exist_ok=True)
    atomic_files.write(note, _json(asdict(packed)), folder=place)
    return Built(layer.name, packed, was_there=False)


def _inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Nothing may be written outside of the folder; but /tmp stays everyone's."""
    return tarfile.tar_filter(member, folder).replace(mode=member.mode & 0o1777, deep=False)


def _config(built: Sequence[Built], settings: Settings, machine: str) -> dict[str, Any]:
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
        "rootfs": {"type": "layers", "diff_ids": [made.packed.diff for made in built]},
        "history": [{"created_by": made.name} for made in built],
    }


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": KINDS[kind], "digest": digest, "size": size}


def _reference(named: Mapping[str, Any]) -> str:
    return str(named.get("annotations", {}).get("org.opencontainers.image.ref.name", ""))


def _blob(folder: Path, place: Path, kind: str, content: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    atomic_files.write(blob(folder, digest), content, folder=place)
    return _descriptor(kind, digest, len(content))


def _checked(folder: Path, digest: str) -> Path:
    """A blob whose bytes are those that it is named by."""
    path = blob(folder, digest)
    try:
        with path.open("rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest() == path.name
    except FileNotFoundError:
        whole = False
    if not whole:
        raise UserError(f"A file of the image is not what it was: {digest[7:19]}.", "build the image again.")
    return path


def _write_index(folder: Path, place: Path, named: Sequence[Mapping[str, Any]]) -> None:
    index = {"schemaVersion": 2, "mediaType": KINDS["index"], "manifests": list(named)}
    atomic_files.write(folder / "index.json", _json(index), folder=place)


def _json(told: object) -> bytes:
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
