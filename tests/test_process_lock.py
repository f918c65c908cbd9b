"""One holder at a time, among threads and processes; a holder that is killed holds nothing."""

import errno
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.places import ROOT
from helpers.process_lock import ProcessLock

HOLD = """
import sys
from pathlib import Path
from helpers.process_lock import ProcessLock
with ProcessLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
# Starts a child that inherits the lock, says so, and waits.
HOLD_WITH_CHILD = """
import subprocess, sys
from pathlib import Path
from helpers.process_lock import ProcessLock
with ProcessLock(Path(sys.argv[1])) as lock:
    child = [sys.executable, "-c", "import sys; print('held', flush=True); sys.stdin.read()"]
    subprocess.run(child, pass_fds=lock.descriptors)
"""


class Held(Exception):
    """Another one holds the lock."""


def refuse() -> None:
    raise Held


def is_free(path: Path) -> bool:
    try:
        with ProcessLock(path, refuse):
            return True
    except Held:
        return False


def holder(program: str, path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", program, str(path)]
    started = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout and started.stdout.readline() == "held\n"
    return started


def test_threads_of_one_process_take_turns(tmp_path: Path) -> None:
    inside, most = 0, 0
    everyone = threading.Barrier(8)

    def take(number: int) -> None:
        nonlocal inside, most
        everyone.wait(10)
        for _ in range(50):
            with ProcessLock(tmp_path / "lock", remove=number % 2 == 0):
                inside += 1
                most = max(most, inside)
                (tmp_path / "work").write_bytes(b"x")  # another thread may run meanwhile
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(8)))
    assert most == 1 and inside == 0


def test_who_waits_hears_of_it_once_and_then_has_the_lock(tmp_path: Path) -> None:
    first = holder(HOLD, tmp_path / "lock")
    heard = []

    def end_the_first() -> None:
        heard.append("waiting")
        assert first.stdin
        first.stdin.close()

    with ProcessLock(tmp_path / "lock", end_the_first) as lock:
        assert heard == ["waiting"] and lock.is_held
        assert not is_free(tmp_path / "lock")
    assert is_free(tmp_path / "lock")
    assert first.wait(10) == 0 and first.stdout and not first.stdout.close()


def test_a_wait_that_is_given_up_takes_nothing_from_the_holder(tmp_path: Path) -> None:
    with ProcessLock(tmp_path / "lock", remove=True):
        with pytest.raises(Held), ProcessLock(tmp_path / "lock", refuse, remove=True):
            pass
        assert not is_free(tmp_path / "lock")
    assert is_free(tmp_path / "lock")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_kill_releases_it(tmp_path: Path) -> None:
    killed = holder(HOLD, tmp_path / "lock")
    assert not is_free(tmp_path / "lock")
    killed.kill()
    killed.communicate()
    assert is_free(tmp_path / "lock")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows inherits no descriptors")
def test_a_child_that_inherited_it_holds_on_when_its_launcher_is_killed(tmp_path: Path) -> None:
    launcher = holder(HOLD_WITH_CHILD, tmp_path / "lock")
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait(10)
    assert not is_free(tmp_path / "lock"), "the child still writes"
    assert launcher.stdin and launcher.stdout
    launcher.stdin.close()
    assert launcher.stdout.read() == "", "the child has ended"
    launcher.stdout.close()
    with ProcessLock(tmp_path / "lock"):
        pass


def test_a_lock_that_is_removed_leaves_no_file_and_lets_nobody_in_twice(tmp_path: Path) -> None:
    with ProcessLock(tmp_path / "lock", remove=True):
        (tmp_path / "lock").unlink(missing_ok=True)  # as somebody may who clears up
        with ProcessLock(tmp_path / "lock", refuse, remove=True):
            pass  # another file of the same name is another lock
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="the call is POSIX's")
def test_without_locks_in_the_file_system_the_block_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def unsupported(*given: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with ProcessLock(tmp_path / "lock", refuse, remove=True) as lock:
        assert not lock.is_held
