"""Images in plain Python: the same bytes each time, digests that fit, and files as they were put in."""

import gzip
import hashlib
import io
import json
import random
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.deploy import layers as layers_module
from helpers.deploy.layers import BLOCK, Entry, Layer, PackedWriter
from helpers.deploy.oci import Settings, blob, manifests, read, remove, unpack, write
from helpers.errors import UserError
from helpers.places import ROOT

SETTINGS = Settings(["/bin/run"], {"A": "1"}, port=3000, labels={"made": "here"})


def layers(text: bytes = b"hello") -> list[Layer]:
    return [
        Layer("base", (Entry("etc/name", b"base"), Entry("bin/run", b"#!", mode=0o755), Entry("bin/go", target="run"))),
        Layer("app", (Entry("app/text", text), Entry("tmp", mode=0o1777))),
    ]


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_everything_is_named_by_its_digest_and_the_sizes_fit(tmp_path: Path) -> None:
    image = write(tmp_path, "app:1", layers(), SETTINGS, "x86_64")
    assert json.loads((tmp_path / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    for path in (tmp_path / "blobs" / "sha256").iterdir():
        assert digest(path.read_bytes()) == f"sha256:{path.name}"
    (named,) = manifests(tmp_path)
    assert named["digest"] == image.digest and named["size"] == blob(tmp_path, image.digest).stat().st_size
    manifest, config = read(tmp_path, "app:1")
    for descriptor, diff in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        packed = blob(tmp_path, descriptor["digest"]).read_bytes()
        assert descriptor["size"] == len(packed) and digest(gzip.decompress(packed)) == diff
    assert config["architecture"] == "amd64" and config["os"] == "linux"
    assert config["config"]["User"] == "10001:10001" and config["config"]["ExposedPorts"] == {"3000/tcp": {}}


def test_the_same_files_give_the_same_bytes_anywhere(tmp_path: Path) -> None:
    one = write(tmp_path / "a", "app:1", layers(), SETTINGS, "x86_64")
    shuffled = [Layer(layer.name, tuple(reversed(layer.entries))) for layer in layers()]
    other = write(tmp_path / "b", "app:1", shuffled, SETTINGS, "x86_64")
    assert one.digest == other.digest
    assert write(tmp_path / "c", "app:1", layers(b"hellO"), SETTINGS, "x86_64").digest != one.digest


def test_a_layer_that_was_made_is_not_made_again(tmp_path: Path) -> None:
    said: list[str] = []
    write(tmp_path, "app:1", layers(), SETTINGS, "x86_64")
    again = write(tmp_path, "app:2", layers(b"new"), SETTINGS, "x86_64", said.append)
    assert [layer.was_there for layer in again.layers] == [True, False]
    assert "layer 1 of 2, base" in said[0] and "was there already" in said[0]
    assert {named["annotations"]["org.opencontainers.image.ref.name"] for named in manifests(tmp_path)} == {
        "app:1",
        "app:2",
    }


def test_what_comes_out_is_what_went_in(tmp_path: Path) -> None:
    write(tmp_path / "layout", "app:1", layers(), SETTINGS, "x86_64")
    root = tmp_path / "root"
    unpack(tmp_path / "layout", "app:1", root)
    assert (root / "app" / "text").read_bytes() == b"hello" and (root / "bin" / "go").readlink() == Path("run")
    assert stat.S_IMODE((root / "bin" / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777


def test_a_damaged_layer_is_refused(tmp_path: Path) -> None:
    image = write(tmp_path / "layout", "app:1", layers(), SETTINGS, "x86_64")
    damaged = blob(tmp_path / "layout", image.layers[1].packed.digest)
    damaged.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(UserError, match="is not what it was"):
        unpack(tmp_path / "layout", "app:1", tmp_path / "root")
    damaged.unlink()
    with pytest.raises(UserError, match="is not what it was"):
        unpack(tmp_path / "layout", "app:1", tmp_path / "root")


def test_how_many_threads_pack_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = random.Random(0).randbytes(2 * BLOCK) + bytes(BLOCK + 5)
    seen = set()
    for threads in (1, 2, 7):
        monkeypatch.setattr(layers_module.os, "cpu_count", lambda threads=threads: threads)
        with (tmp_path / "packed").open("wb") as file:
            packed = Layer("large", (Entry("large", content),)).pack(file)
        there = (tmp_path / "packed").read_bytes()
        raw = gzip.decompress(there)
        assert (packed.digest, packed.packed) == (digest(there), len(there))
        assert (packed.diff, packed.unpacked) == (digest(raw), len(raw))
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            assert archive.extractfile("large").read() == content  # type: ignore[union-attr]
        seen.add(packed.digest)
    assert len(seen) == 1


def test_a_disk_that_fills_while_a_layer_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = PackedWriter._write_out

    def full(self: PackedWriter, at_most: int) -> None:
        original(self, at_most)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PackedWriter, "_write_out", full)
    with pytest.raises(UserError, match=r"cannot be written to: No space left on device\.\n.*make room"):
        write(tmp_path, "app:1", layers(), SETTINGS, "x86_64")
    assert not list(tmp_path.glob(".build-*")) and manifests(tmp_path) == []
    monkeypatch.undo()
    assert not write(tmp_path, "app:1", layers(), SETTINGS, "x86_64").layers[0].was_there


BUILD = """
import sys
from pathlib import Path
from helpers.deploy.layers import Entry, Layer
from helpers.deploy.oci import Settings, write
add = Entry.add_to
def slowly(self, archive, content=None):
    add(self, archive, content)
    if self.path == "large":
        print("packing", flush=True)
        sys.stdin.readline()
Entry.add_to = slowly
layer = Layer("one", (Entry("large", bytes(9_000_000)), Entry("text", b"made")))
write(Path(sys.argv[1]), sys.argv[2], [layer], Settings(["/bin/run"]), "x86_64", lambda line: print(line, flush=True))
"""


def builder(folder: Path, reference: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", BUILD, str(folder), reference]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_a_build_that_is_killed_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    with builder(tmp_path, "app:1") as killed:
        assert killed.stdout and killed.stdout.readline() == "packing\n"
        killed.kill()
    assert len(list(tmp_path.glob(".build-*"))) == 1 and manifests(tmp_path) == []
    with builder(tmp_path, "app:1") as again:
        said, _ = again.communicate("go on\n")
    assert "MB packed" in said and not list(tmp_path.glob(".build-*"))
    unpack(tmp_path, "app:1", tmp_path / "root")
    assert (tmp_path / "root" / "text").read_bytes() == b"made"


def test_two_builds_at_once_both_come_to_be(tmp_path: Path) -> None:
    with builder(tmp_path, "app:1") as first, builder(tmp_path, "app:2") as second:
        for each in (first, second):
            assert each.stdout and each.stdout.readline() == "packing\n"
        assert all("MB packed" in each.communicate("go on\n")[0] for each in (first, second))
    assert len(manifests(tmp_path)) == 2 and not list(tmp_path.glob(".build-*"))
    for reference in ("app:1", "app:2"):
        unpack(tmp_path, reference, tmp_path / reference.replace(":", "-"))


def test_of_one_reference_the_last_counts(tmp_path: Path) -> None:
    write(tmp_path, "app:1", layers(b"old" * 1000), SETTINGS, "x86_64")
    write(tmp_path, "app:1", layers(b"new"), SETTINGS, "x86_64")
    assert len(manifests(tmp_path)) == 1
    unpack(tmp_path, "app:1", tmp_path / "root")
    assert (tmp_path / "root" / "app" / "text").read_bytes() == b"new"
    with pytest.raises(KeyError):
        read(tmp_path, "app:9")


def test_with_an_image_goes_what_no_other_needs(tmp_path: Path) -> None:
    old = write(tmp_path, "app:1", layers(b"old" * 1000), SETTINGS, "x86_64")
    new = write(tmp_path, "app:2", layers(b"new"), SETTINGS, "x86_64")
    base, own = old.layers
    assert remove(tmp_path, "app:1") > own.packed.packed
    assert not blob(tmp_path, own.packed.digest).exists() and blob(tmp_path, base.packed.digest).exists()
    assert [named["digest"] for named in manifests(tmp_path)] == [new.digest]
    unpack(tmp_path, "app:2", tmp_path / "root")
    again = write(tmp_path, "app:1", layers(b"old" * 1000), SETTINGS, "x86_64")
    assert [layer.was_there for layer in again.layers] == [True, False] and again.digest == old.digest


def test_a_layer_that_is_taken_away_during_a_build_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "app:1", layers(), SETTINGS, "x86_64")
    taken = []

    def meanwhile(line: str) -> None:
        if not taken and "layer 2" in line:
            taken.append(remove(tmp_path, "app:1"))

    write(tmp_path, "app:2", layers(), SETTINGS, "x86_64", meanwhile)
    assert taken[0] > 0
    unpack(tmp_path, "app:2", tmp_path / "root")
    assert (tmp_path / "root" / "app" / "text").read_bytes() == b"hello"


def test_a_full_disk_leaves_the_images_that_were_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "app:1", layers(), SETTINGS, "x86_64")
    before = (tmp_path / "index.json").read_bytes()
    original = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if len(content) > 300:
            original(self, content[:100])
            raise OSError(28, "No space left on device")
        return original(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot be written to: No space left on device\.\n.*make room"):
        write(tmp_path, "app:2", layers(bytes(range(256)) * 40), SETTINGS, "x86_64")
    monkeypatch.undo()
    assert (tmp_path / "index.json").read_bytes() == before
    assert not list(tmp_path.glob(".build-*"))
    assert write(tmp_path, "app:2", layers(bytes(range(256)) * 40), SETTINGS, "x86_64").layers[0].was_there


names = st.text("abcdef/", min_size=1, max_size=8).filter(lambda name: all(name.split("/")))


@given(st.dictionaries(names, st.binary(max_size=200), max_size=6))
def test_any_files_come_out_as_they_went_in(files: dict[str, bytes]) -> None:
    folders = {parent for name in files for parent in _parents(name)}
    files = {name: content for name, content in files.items() if name not in folders}
    layer = Layer("any", tuple(Entry(name, content) for name, content in files.items()))
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in layer.sorted():
            entry.add_to(archive)
    with tarfile.open(fileobj=io.BytesIO(raw.getvalue())) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]
        assert all(member.mtime == member.uid == member.gid == 0 for member in archive.getmembers())
    assert found == files


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
def test_skopeo_reads_it(tmp_path: Path) -> None:
    image = write(tmp_path, "app:1", layers(), SETTINGS, "x86_64")
    told = subprocess.run(["skopeo", "inspect", f"oci:{tmp_path}:app:1"], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["Digest"] == image.digest
