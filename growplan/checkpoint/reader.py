"""Lazy reads of a checkpoint: bytes go from the file into the caller's buffer, nothing is mapped.

preadv into a reused buffer keeps resident memory flat; mapped pages would count as the process'.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import NoReturn

from growplan.checkpoint.files import Buffer, flat, guard
from growplan.checkpoint.headers import Headers
from growplan.checkpoint.safetensors_header import FileHeader, TensorInfo
from growplan.diagnostics import fail

_BELONG = "check that config.json belongs to these weights"


class Reader:
    """Open weight files of one checkpoint. Every method may be called from any thread."""

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self._fds: dict[str, int] = {}
        try:
            for name, header in headers.files.items():
                with guard(header.path, "open"):
                    self._fds[name] = os.open(header.path, os.O_RDONLY | os.O_CLOEXEC)
            self.check_unchanged()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popitem()[1])

    def info(self, name: str) -> TensorInfo:
        """Where and what a tensor is. GP424 when the checkpoint does not hold it."""
        try:
            return self.headers.tensors[name]
        except KeyError:
            fail("GP424", f"{self.headers.directory} holds no tensor `{name}`", help=_BELONG)

    def location(self, name: str) -> tuple[int, int, int]:
        """(file descriptor, byte offset, bytes) of a tensor, for a copy inside the kernel."""
        info = self.info(name)
        return self._fds[info.file], info.start, info.nbytes

    def read_into(self, name: str, buffer: Buffer, offset: int = 0) -> int:
        """Fill `buffer` from byte `offset` of a tensor; returns the number of bytes read.

        The buffer must be writable and contiguous, and end within the tensor (ValueError).
        Raises GP425 when the file became shorter, GP43x on an I/O error.
        """
        info = self.info(name)
        view = flat(buffer)
        total = len(view)
        if offset < 0 or offset + total > info.nbytes:
            raise ValueError(f"{name}: bytes {offset}:{offset + total} of {info.nbytes}")
        fd, at = self._fds[info.file], info.start + offset
        done = 0
        while done < total:
            with guard(self.headers.files[info.file].path, "read"):
                n = os.preadv(fd, [view[done:]], at + done)
            if n == 0:
                _changed(self.headers.files[info.file])
            done += n
        return total

    def bytes_of(self, name: str) -> bytearray:
        """A whole tensor's bytes."""
        data = bytearray(self.info(name).nbytes)
        self.read_into(name, data)
        return data

    def check_unchanged(self) -> None:
        """GP425 when a weight file is no longer the one whose header was read."""
        for name, header in self.headers.files.items():
            info = os.fstat(self._fds[name])
            if (info.st_dev, info.st_ino, info.st_mtime_ns) != header.identity or info.st_size != header.size:
                _changed(header)


def _changed(header: FileHeader) -> NoReturn:
    fail(
        "GP425",
        f"{header.path} changed while it was used",
        help="let whatever writes the source finish, then run again",
    )


def open_reader(headers: Headers) -> Reader:
    """Open the weight files of a checkpoint; use as a context manager."""
    return Reader(headers)
