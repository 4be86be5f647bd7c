"""Writing a laid-out checkpoint: files at full size first, then tensors in any order, from any thread.

Each tensor's sha256 is kept as it is written in order, or read back from the page cache where
blocks came out of order.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import NoReturn

from growplan.checkpoint.files import CHUNK, Buffer, flat, guard, write_bytes
from growplan.checkpoint.headers import INDEX
from growplan.checkpoint.layout import Layout, Slot
from growplan.checkpoint.reader import Reader
from growplan.diagnostics import fail

_KERNEL_CHUNK = 64 * 1024 * 1024
_NO_FALLOCATE = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV}
_NO_KERNEL_COPY = {
    errno.EXDEV,
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EPERM,
    errno.EBADF,
    errno.ETXTBSY,
}


class _Progress:
    """What of one tensor is written: merged byte ranges, and a hash of the unbroken beginning."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.ranges: list[tuple[int, int]] = []
        self.hash = hashlib.sha256()
        self.hashed = 0

    def add(self, start: int, end: int) -> None:
        """Record a written range; ValueError when part of it was written before."""
        if any(start < b and a < end for a, b in self.ranges):
            raise ValueError(f"bytes {start}:{end} are written twice")
        merged: list[tuple[int, int]] = []
        for a, b in sorted([*self.ranges, (start, end)]):
            if merged and merged[-1][1] == a:
                merged[-1] = (merged[-1][0], b)
            else:
                merged.append((a, b))
        self.ranges = merged

    def complete(self, size: int) -> bool:
        return size == 0 or self.ranges == [(0, size)]


class Writer:
    """Open, preallocated weight files of a checkpoint in `directory` (which must exist)."""

    def __init__(self, directory: Path, layout: Layout) -> None:
        self.directory = directory
        self.layout = layout
        self._fds: dict[str, int] = {}
        self._progress = {name: _Progress() for name in layout.slots}
        self._kernel_copy = hasattr(os, "copy_file_range")
        try:
            for shard in layout.shards:
                self._create(shard.file, shard.head, shard.size)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popitem()[1])

    def _create(self, file: str, head: bytes, size: int) -> None:
        path = self.directory / file
        with guard(path, "create"):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._fds[file] = fd
        with guard(path, f"reserve {size:,} bytes for"):
            try:
                os.posix_fallocate(fd, 0, size)
            except OSError as error:
                if error.errno not in _NO_FALLOCATE:
                    raise
                os.truncate(fd, size)
        self._pwrite(file, memoryview(head), 0)

    def _pwrite(self, file: str, view: memoryview, at: int) -> None:
        with guard(self.directory / file, "write"):
            while len(view):
                n = os.pwrite(self._fds[file], view, at)
                view, at = view[n:], at + n

    def write(self, name: str, buffer: Buffer, offset: int = 0) -> None:
        """Write bytes of a tensor at byte `offset` within it.

        ValueError when they do not fit, or were written before; GP43x on an I/O error.
        """
        slot, view = self.layout.slots[name], flat(buffer)
        if offset < 0 or offset + len(view) > slot.nbytes:
            raise ValueError(f"{name}: bytes {offset}:{offset + len(view)} of {slot.nbytes}")
        if not len(view):
            return
        progress = self._progress[name]
        with progress.lock:
            progress.add(offset, offset + len(view))
            if offset == progress.hashed:
                progress.hash.update(view)
                progress.hashed += len(view)
        self._pwrite(slot.file, view, slot.start + offset)

    def copy(self, name: str, reader: Reader, source_name: str | None = None) -> None:
        """Copy a whole tensor from `reader`, inside the kernel where the file system can.

        ValueError when the byte counts differ; GP425 when the source became shorter.
        """
        source_name = source_name or name
        slot, info = self.layout.slots[name], reader.info(source_name)
        if info.nbytes != slot.nbytes:
            raise ValueError(f"{name}: {slot.nbytes} bytes, but {source_name} has {info.nbytes}")
        buffer = memoryview(bytearray(min(CHUNK, slot.nbytes)))
        done = 0
        while done < slot.nbytes:
            step = min(_KERNEL_CHUNK, slot.nbytes - done)
            copied = self._copy_in_kernel(slot, done, step, reader, source_name) if self._kernel_copy else 0
            if copied:
                self._note_copied(slot, done, copied, buffer)
            else:
                copied = min(step, len(buffer))
                reader.read_into(source_name, buffer[:copied], done)
                self.write(name, buffer[:copied], done)
            done += copied

    def _copy_in_kernel(self, slot: Slot, done: int, step: int, reader: Reader, source_name: str) -> int:
        """Bytes copied; 0 where the kernel cannot, or the source ended (the plain read tells which)."""
        fd, start, _ = reader.location(source_name)
        try:
            return os.copy_file_range(fd, self._fds[slot.file], step, start + done, slot.start + done)
        except OSError as error:
            if error.errno in _NO_KERNEL_COPY:
                self._kernel_copy = False
                return 0
            with guard(self.directory / slot.file, "copy into"):
                raise

    def _note_copied(self, slot: Slot, offset: int, size: int, buffer: memoryview) -> None:
        progress = self._progress[slot.name]
        with progress.lock:
            progress.add(offset, offset + size)
            self._hash_up_to(progress, slot, buffer)

    def _hash_up_to(self, progress: _Progress, slot: Slot, buffer: memoryview) -> None:
        """Read back and hash what is written without a gap."""
        end = progress.ranges[0][1] if progress.ranges and progress.ranges[0][0] == 0 else 0
        path = self.directory / slot.file
        while progress.hashed < end:
            part = buffer[: min(len(buffer), end - progress.hashed)]
            with guard(path, "read back"):
                n = os.preadv(self._fds[slot.file], [part], slot.start + progress.hashed)
            if n == 0:
                message = f"cannot read back {path}: it became shorter while it was written"
                fail("GP432", message, help="let no other program write there, and run again")
            progress.hash.update(part[:n])
            progress.hashed += n

    def finish(self) -> dict[str, str]:
        """Check that every byte was written, write the index, fsync; returns name → sha256, sorted.

        Raises GP433 when a tensor is incomplete.
        """
        buffer = memoryview(bytearray(CHUNK))
        sums: dict[str, str] = {}
        for name in sorted(self.layout.slots):
            slot, progress = self.layout.slots[name], self._progress[name]
            if not progress.complete(slot.nbytes):
                _incomplete(name, progress, slot)
            self._hash_up_to(progress, slot, buffer)
            sums[name] = progress.hash.hexdigest()
        for file, fd in self._fds.items():
            with guard(self.directory / file, "sync"):
                os.fsync(fd)
        index = self.layout.index_text()
        if index is not None:
            write_bytes(self.directory / INDEX, index.encode())
        return sums


def _incomplete(name: str, progress: _Progress, slot: Slot) -> NoReturn:
    written = sum(b - a for a, b in progress.ranges)
    fail(
        "GP433",
        f"`{name}` was not written whole: {written:,} of {slot.nbytes:,} bytes",
        help="this is a bug in growplan, please report it; nothing was published",
    )
