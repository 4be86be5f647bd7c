"""One run at a time per target: a lock file beside it that dies with its process.

flock is released by the kernel when the process ends, however it ends, so a lock file left by a
killed run holds nobody up. Where the file system has no flock, the process id in the file decides.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from growplan.checkpoint.files import guard
from growplan.diagnostics import fail

_BUSY = {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN}


class RunLock:
    """Holds `path` until `release`. GP404 when another run holds it."""

    def __init__(self, path: Path, what: Path) -> None:
        self.path = path
        self._fd = self._acquire(path, what)

    def _acquire(self, path: Path, what: Path) -> int:
        while True:
            with guard(path, "create"):
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                _lock(fd, what)
                if _is_same_file(fd, path):
                    os.ftruncate(fd, 0)
                    os.pwrite(fd, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # its owner removed the file between our open and our lock

    def release(self) -> None:
        """Remove the file, then let go; harmless when called twice."""
        if self._fd < 0:
            return
        with suppress(OSError):  # already gone with its directory: the lock is what counts
            self.path.unlink()
        os.close(self._fd)
        self._fd = -1


def _lock(fd: int, what: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            _refuse(fd, what)
        pid, host = _owner(fd)
        if pid and host == socket.gethostname() and pid != os.getpid() and _alive(pid):
            _refuse(fd, what)


def _owner(fd: int) -> tuple[int, str]:
    words = os.pread(fd, 300, 0).decode("utf-8", "replace").split()
    if len(words) == 2 and words[0].isdecimal():
        return int(words[0]), words[1]
    return 0, ""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _refuse(fd: int, what: Path) -> NoReturn:
    pid, host = _owner(fd)
    notes = [("held by", f"process {pid} on {host}")] if pid else []
    fail(
        "GP404",
        f"another run is writing {what}",
        notes=notes,
        help=("wait for it to end", "or choose another directory with `--out`"),
    )
