"""Whole or not at all, whoever writes and wherever a writer is killed; nobody's change is lost."""

import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers import atomic_files
from helpers.places import ROOT

posix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")

OLD, NEW = b"old" * 1000, b"new" * 5000

# Kills itself before the n-th thing that it does to the file system; without a kill it ends with 0.
KILLED_AT = """
import os, shutil, signal, sys
from pathlib import Path
from helpers import atomic_files

path, left = Path(sys.argv[1]), int(sys.argv[2])
WATCHED = {"open", "os.rename", "os.remove", "os.chmod", "os.mkdir", "os.rmdir"}
WATCHED |= {"fcntl.flock", "os.listdir", "os.scandir"}

def count(event, arguments):
    global left
    if event in WATCHED:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
"""
WRITERS = {
    "write": "atomic_files.write(path, b'new' * 5000)",
    "durable": "atomic_files.write(path, b'new' * 5000, durable=True)",
    "update": "atomic_files.update(path, lambda raw: b'new' * 5000)",
    "replacing": """
with atomic_files.replacing(path) as beside:
    with beside.open("wb") as file:
        for _ in range(5000):
            file.write(b"new")
""",
}
PUBLISH = """
with atomic_files.temporary_folder(path.parent, ".new-") as place:
    made = place / "made"
    made.mkdir()
    for name in ("one", "two"):
        (made / name).write_text("whole")
    made.rename(path)
"""


def killed_at(program: str, path: Path, step: int) -> bool:
    command = [sys.executable, "-c", KILLED_AT + program, str(path), str(step)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, -signal.SIGKILL), ran.stderr
    return ran.returncode != 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@posix
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("before", [OLD, None], ids=["replaced", "created"])
def test_a_kill_at_any_step_leaves_the_content_before_or_after(
    tmp_path: Path, writer: str, before: bytes | None
) -> None:
    path, step, seen = tmp_path / "file", 1, set()
    while True:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)
        killed = killed_at(WRITERS[writer], path, step)
        found = path.read_bytes() if path.exists() else None
        assert found in (before, NEW)
        seen.add(found)
        atomic_files.write(path, b"the next one")
        assert path.read_bytes() == b"the next one" and names(tmp_path) == ["file"], "and what was left is gone"
        if not killed:
            break
        step += 1
    assert seen == {before, NEW} and step > 5


@posix
def test_a_kill_at_any_step_publishes_a_folder_whole_or_not_at_all(tmp_path: Path) -> None:
    path, step, seen = tmp_path / "folder", 1, set()
    while True:
        killed = killed_at(PUBLISH, path, step)
        if path.exists():
            assert {each.name: each.read_text() for each in path.iterdir()} == {"one": "whole", "two": "whole"}
        seen.add(path.exists())
        shutil.rmtree(path, ignore_errors=True)
        with atomic_files.temporary_folder(tmp_path, ".new-") as place:
            assert names(tmp_path) == [place.name], "what was left is gone"
        assert names(tmp_path) == []
        if not killed:
            break
        step += 1
    assert seen == {True, False} and step > 5


COUNT_FOR_EVER = """
import json, sys
from pathlib import Path
from helpers import atomic_files

path, name = Path(sys.argv[1]), sys.argv[2]

def counted(raw):
    kept = json.loads(raw or b"{}")
    kept[name] = kept.get(name, 0) + 1
    kept["filler"] = "x" * (1000 * (kept[name] % 7))
    return json.dumps(kept).encode()

while True:
    print(json.loads(atomic_files.update(path, counted))[name], flush=True)
"""


@posix
@pytest.mark.parametrize("seed", range(6))
def test_of_several_writers_that_are_killed_none_loses_a_change(tmp_path: Path, seed: int) -> None:
    """Each counts its own updates in one file, and says so after each; readers see whole files all the while."""
    moments = random.Random(seed)
    path = tmp_path / "counts.json"
    done = {f"writer {number}": 0 for number in range(3)}
    for _ in range(2):
        writers = {
            name: subprocess.Popen(
                [sys.executable, "-c", COUNT_FOR_EVER, str(path), name], cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            for name in done
        }
        for name in moments.sample(sorted(writers), len(writers)):
            writer = writers[name]
            assert writer.stdout
            for _ in range(moments.randint(1, 40)):
                done[name] = int(writer.stdout.readline())
                json.loads(path.read_bytes())
            writer.kill()
            rest, _ = writer.communicate()
            done[name] = max([done[name], *map(int, rest.split())])
        counts = json.loads(path.read_bytes())
        for name, count in done.items():
            assert count <= counts[name] <= count + 1, "the last update may have been made and not been told of"
            done[name] = counts[name]
    atomic_files.update(path, lambda raw: (raw or b"") + b" ")
    assert names(tmp_path) == ["counts.json"]


def test_threads_of_one_process_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "count"
    with ThreadPoolExecutor(8) as pool:
        for _ in range(100):
            pool.submit(atomic_files.update, path, lambda raw: str(int(raw or b"0") + 1).encode())
    assert path.read_bytes() == b"100" and names(tmp_path) == ["count"]


def test_an_exception_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)

    def fail(raw: bytes | None) -> bytes:
        assert raw == OLD
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        atomic_files.update(path, fail)
    with pytest.raises(ZeroDivisionError), atomic_files.replacing(path) as beside:
        beside.write_bytes(b"half")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), atomic_files.temporary_folder(tmp_path, ".new-") as place:
        (place / "half").touch()
        raise ZeroDivisionError
    assert path.read_bytes() == OLD and names(tmp_path) == ["file"]


def test_folders_on_the_way_are_made_and_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / ("n" * 240)
    atomic_files.write(path, "über\n")
    assert path.read_bytes() == "über\n".encode() and names(path.parent) == [path.name]


def test_a_folder_of_ones_own_is_written_in_without_a_lock(tmp_path: Path) -> None:
    own, path = tmp_path / "own", tmp_path / "file"
    own.mkdir()
    with atomic_files.replacing(path, folder=own) as beside:
        assert beside.parent == own and names(tmp_path) == ["own"]
        beside.write_bytes(NEW)
    assert path.read_bytes() == NEW and names(own) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "new"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_the_file_before_or_of_any_new_one(tmp_path: Path, umask: int, new: int) -> None:
    path = tmp_path / "file"
    before = os.umask(umask)
    try:
        atomic_files.write(path, OLD)
        assert stat.S_IMODE(path.stat().st_mode) == new
        path.chmod(0o640)
        atomic_files.update(path, lambda raw: NEW)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_what_durable_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content before its name, and then the name."""
    path, seen = tmp_path / "file", []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        seen.append((kind, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    atomic_files.write(path, NEW)
    assert seen == []
    path.unlink()
    atomic_files.write(path, NEW, durable=True)
    assert seen == [("file", False)] + ([] if sys.platform == "win32" else [("folder", True)])
