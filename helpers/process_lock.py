"""A lock among processes and threads, which the system releases when its holder ends, even by a kill.

It needs nothing but the standard library: the set-up uses it before anything is installed.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}  # some network file systems


class ProcessLock:
    """Hold ``path`` until the block ends. If another holds it, ``on_wait`` is called once, and then it waits.

    An exception from ``on_wait`` ends the wait. Each holder, be it a process or a thread, makes its own object.
    On Unix a child that inherits ``descriptors`` holds the lock too: a launcher that is killed does not
    release it while its child still writes. With ``remove`` the lock's file is deleted afterwards.

    >>> with ProcessLock(folder / ".lock", lambda: print("waiting")):  # doctest: +SKIP
    ...     change(folder)
    """

    def __init__(self, path: Path, on_wait: Callable[[], object] = lambda: None, remove: bool = False) -> None:
        self._path = path
        self._on_wait = on_wait
        self._remove = remove
        self._file = path.open("a+b")
        self.is_held = False
        """False also inside of the block, where the file system has no locks."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What to pass on to a child that must hold the lock as well (``pass_fds``)."""
        return () if sys.platform == "win32" else (self._file.fileno(),)

    def __enter__(self) -> "ProcessLock":
        wait = False
        try:
            while True:
                try:
                    self._take(wait)
                except BlockingIOError:
                    self._on_wait()
                    wait = True
                    continue
                if self._is_at_its_path():
                    return self
                self._file.close()  # the holder before this one removed the file
                self._file = self._path.open("a+b")
        except BaseException:
            self._file.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_held = False
        if sys.platform == "win32":
            self._file.close()  # Windows removes no open file, and none that another has opened by now
        if self._remove:
            with contextlib.suppress(OSError):
                self._path.unlink()
        self._file.close()

    def _take(self, wait: bool) -> None:
        """Lock the file; BlockingIOError if another holds it and this one does not wait."""
        if sys.platform == "win32":
            import msvcrt

            while not self.is_held:
                try:
                    msvcrt.locking(self._file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                    self.is_held = True
                except OSError:  # LK_LOCK itself gives up after ten seconds
                    if not wait:
                        raise BlockingIOError from None
        else:
            import fcntl

            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                self.is_held = True
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise

    def _is_at_its_path(self) -> bool:
        if sys.platform == "win32":  # where an open file cannot be removed
            return True
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False
