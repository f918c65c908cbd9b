"""A lock among processes that the system itself releases, even when its holder is killed."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


class ProcessLock:
    """Hold ``path`` for one process at a time; who comes second is told, and waits.

    On Unix a child that inherits ``descriptors`` holds the lock too: a launcher
    that is killed does not free it while its child still writes.
    """

    def __init__(self, path: Path, tell_to_wait: Callable[[], None]) -> None:
        self._file = path.open("a+b")
        self._tell_to_wait = tell_to_wait

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What to pass on to a child that must hold the lock as well (``pass_fds``)."""
        return () if sys.platform == "win32" else (self._file.fileno(),)

    def __enter__(self) -> "ProcessLock":
        try:
            self._take(wait=False)
        except OSError:
            try:
                self._tell_to_wait()
                self._take(wait=True)
            except BaseException:  # who is told may rather give up
                self._file.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _take(self, wait: bool) -> None:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(self._file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                    return
                except OSError:  # LK_LOCK itself gives up after ten seconds
                    if not wait:
                        raise
        else:
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
