"""Small, careful file access: every OSError becomes a diagnostic that names the file."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from growplan.diagnostics import fail

TEXT_LIMIT = 16 * 1024 * 1024  # config.json, an index, growth.json
CHUNK = 8 * 1024 * 1024

Buffer = bytes | bytearray | memoryview

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_WAYS_OUT = {
    errno.EINVAL: "give a file of its own, not a device or a pipe",
    errno.EFBIG: "lower the shard size: this file system limits how large a file may be",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path; the file may have been removed meanwhile",
    errno.ELOOP: "its links lead in a circle: give the path itself",
    errno.EIO: "the disk does not answer as it should: copy the file to another one",
}


@contextmanager
def guard(path: Path | str, doing: str) -> Iterator[None]:
    """Turn an OSError into a diagnostic: `cannot DOING PATH: reason`.

    Raises GP430 (disk full or quota), GP431 (permission, read-only), GP432 (anything else).
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"cannot {doing} {path}: {reason}"
        if error.errno in _FULL:
            fail("GP430", message, help="free some space, or choose another place with `--out`")
        if error.errno in _DENIED:
            fail("GP431", message, help="check who owns the path, or choose another place with `--out`")
        fail("GP432", message, help=_WAYS_OUT.get(error.errno or 0, "check the path, and the disk it is on"))


def flat(buffer: Buffer) -> memoryview:
    """A contiguous buffer as one row of bytes, empty ones included."""
    view = memoryview(buffer)
    return view.cast("B") if view.nbytes else memoryview(b"")


def is_regular(path: Path) -> bool:
    """True for a file, links followed; False for anything else, a pipe or a missing path included."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_directory(path: Path) -> bool:
    """True for a directory, links followed; False where nothing can be said."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def path_exists(path: Path) -> bool:
    """True when there is anything, links followed; False where nothing can be said."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def read_regular(path: Path | str, limit: int) -> bytes:
    """A regular file's bytes, `limit` and one more at most (to tell); never waits for a pipe.

    Raises OSError, also for a device, a pipe or a directory.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return file.read(limit + 1)


def read_bytes(path: Path, limit: int = TEXT_LIMIT) -> bytes:
    """A small file whole. GP432 when it is no regular file or larger than `limit`."""
    with guard(path, "read"):
        data = read_regular(path, limit)
    if len(data) > limit:
        fail(
            "GP432",
            f"cannot read {path}: it has more than the {limit:,} bytes it may have",
            help="is this the right file?",
        )
    return data


def write_bytes(path: Path, data: bytes) -> None:
    """A small file, written and fsynced."""
    with guard(path, "write"), path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, data: bytes) -> None:
    """A small file in one move: what was there before is there until the new one is whole."""
    new = path.with_name(f".{path.name}.new")
    try:
        write_bytes(new, data)
        with guard(path, "write"):
            new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def fsync_directory(path: Path) -> None:
    """Make the directory's entries durable; where a file system cannot, nothing is done."""
    with guard(path, "open"):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            with guard(path, "sync"):
                raise
    finally:
        os.close(fd)


def file_sha256(path: Path) -> str:
    """sha256 of a file, hex."""
    digest = hashlib.sha256()
    with guard(path, "read"), path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(CHUNK))
        while n := file.readinto(buffer):
            digest.update(buffer[:n])
    return digest.hexdigest()


def human_bytes(n: int) -> str:
    """`12.3 GB`: decimal units, as disks and hubs count."""
    size = float(n)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{n} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
