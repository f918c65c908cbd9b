"""The line that shows how far pip is."""

from pathlib import Path

from helpers.cli.pip_progress import PipProgress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(tmp_path: Path, said: list[str], clock: Clock) -> PipProgress:
    return PipProgress(tmp_path, said.append, in_place=False, clock=clock)


def test_it_tells_what_is_found_and_downloaded(tmp_path: Path) -> None:
    shown = progress(tmp_path, [], Clock())
    assert shown.describe() == "starting pip"
    shown.read("Collecting torch==2.13.0 (from servelab)\n")
    assert shown.describe() == "found 1 packages, now torch"
    shown.read("  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (198.4 MB)\n")
    assert shown.describe() == "found 1 packages, downloading torch (198.4 MB)"
    shown.read("WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'\n")
    assert shown.describe() == "the package index does not answer: trying again"
    for line in ("", "\n", "Downloading", "Collecting", "  Using cached x.whl"):
        shown.read(line)


def test_it_counts_what_is_unpacked(tmp_path: Path) -> None:
    begun: list[str] = []
    shown = PipProgress(tmp_path, print, when_unpacking=lambda: begun.append("unpacking"), in_place=False)
    shown.read("Collecting a\n")
    assert not begun
    shown.read("Installing collected packages: a, b, c\n")
    assert begun == ["unpacking"]
    (tmp_path / "a-1.dist-info").mkdir()
    (tmp_path / "b-1.dist-info").mkdir()
    assert shown.describe() == "unpacked 2 of 3 packages"
    for name in "cdef":
        (tmp_path / f"{name}-1.dist-info").mkdir()
    assert shown.describe() == "unpacked 3 of 3 packages", "what was there before is not counted beyond the whole"


def test_outside_a_terminal_it_speaks_seldom_and_never_twice(tmp_path: Path) -> None:
    said: list[str] = []
    clock = Clock()
    shown = progress(tmp_path, said, clock)
    shown.show()
    clock.now = 60
    shown.show()
    assert [line.split()[-2:] for line in said] == [["starting", "pip"]]
    shown.read("Collecting a\n")
    shown.show()
    shown.read("Collecting b\n")
    clock.now = 62
    shown.show()
    assert len(said) == 2, "too soon for another line"
    clock.now = 66
    shown.show()
    assert said[-1].split()[:2] == ["66", "s"]


def test_it_returns_all_that_it_read(tmp_path: Path) -> None:
    lines = ["Collecting a\n", "ERROR: no\n"]
    assert progress(tmp_path, [], Clock()).follow(lines) == "".join(lines)
