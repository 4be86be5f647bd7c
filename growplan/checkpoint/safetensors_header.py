"""The header of one safetensors file, read as if someone hostile had written it.

Layout: 8 bytes little-endian length, that many bytes of JSON, then tensor data. Every byte of the
data must belong to exactly one tensor, as the safetensors library demands too.
"""

from __future__ import annotations

import json
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from growplan.checkpoint.dtypes import BITS, nbytes, numel
from growplan.checkpoint.strictjson import json_kind
from growplan.diagnostics import fail

MAX_HEADER = 100_000_000  # as the safetensors library
_MAX_SIZE = 1 << 62
_MAX_RANK = 32
_KEYS = {"dtype", "shape", "data_offsets"}
_AGAIN = "copy or download the file again, or save the model again with `save_pretrained`"


@dataclass(frozen=True)
class TensorInfo:
    """One stored tensor. `start` and `end` are byte offsets from the beginning of `file`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.start

    @property
    def numel(self) -> int:
        return numel(self.shape)


@dataclass(frozen=True)
class FileHeader:
    """A safetensors file: size, where the data begins, `__metadata__`, and what identifies this version."""

    path: Path
    size: int
    data_start: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    identity: tuple[int, int, int] = (0, 0, 0)  # device, inode, mtime in ns


def read_raw_header(fd: int, path: Path) -> tuple[bytes, os.stat_result]:
    """The JSON bytes of an open file. Raises GP415 (no regular file, too short), GP416 (length)."""
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        _refuse("GP415", path, "is not a regular file")
    if info.st_size < 8:
        what = "is empty" if info.st_size == 0 else f"has only {info.st_size} bytes"
        _refuse("GP415", path, what)
    (length,) = struct.unpack("<Q", _read(fd, 8, 0, path))
    if length > MAX_HEADER:
        _refuse("GP416", path, f"claims a header of {length:,} bytes; {MAX_HEADER:,} is the most allowed")
    if 8 + length > info.st_size:
        _refuse("GP416", path, f"claims a header of {length:,} bytes, but has {info.st_size:,} in all")
    return _read(fd, length, 8, path), info


def _read(fd: int, n: int, offset: int, path: Path) -> bytes:
    parts = []
    while n:
        part = os.pread(fd, n, offset)
        if not part:
            _refuse("GP415", path, "became shorter while it was read")
        parts.append(part)
        n -= len(part)
        offset += len(part)
    return b"".join(parts)


def parse_header(raw: bytes, info: os.stat_result, path: Path) -> tuple[FileHeader, dict[str, TensorInfo]]:
    """Check a header against the file's size; tensors come in the order of their data.

    Raises GP417 (not JSON), GP418 (a malformed entry), GP419 (unknown dtype),
    GP420 (size and shape disagree), GP421 (outside the file, overlapping, or with holes).
    """
    entries = _entries(raw, path)
    metadata = _metadata(entries.pop("__metadata__", None), path)
    data_start = 8 + len(raw)
    tensors = sorted(
        (_tensor(name, entry, data_start, path) for name, entry in entries.items()),
        key=lambda t: (t.start, t.end),
    )
    _check_coverage(tensors, data_start, info.st_size, path)
    identity = (info.st_dev, info.st_ino, info.st_mtime_ns)
    return FileHeader(path, info.st_size, data_start, metadata, identity), {t.name: t for t in tensors}


class _Duplicate(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) != len(pairs):
        seen: set[str] = set()
        raise _Duplicate(next(k for k, _ in pairs if k in seen or seen.add(k)))  # type: ignore[func-returns-value]
    return items


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _entries(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except _Duplicate as error:
        _refuse("GP418", path, f"lists `{_show(error.args[0])}` twice")
    except UnicodeDecodeError as error:
        _refuse("GP417", path, f"has a header that is not UTF-8 (byte {error.start})")
    except RecursionError:
        _refuse("GP417", path, "has a header nested without end")
    except ValueError as error:
        _refuse("GP417", path, f"has a header that is not JSON ({error})")
    if not isinstance(data, dict):
        _refuse("GP417", path, f"has a header that is {json_kind(data)}, not an object")
    return data


def _metadata(value: Any, path: Path) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        _refuse("GP418", path, "has a `__metadata__` that is not a map of strings")
    return value


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_SIZE


def _tensor(name: str, entry: Any, data_start: int, path: Path) -> TensorInfo:
    shown = _show(name)
    if shown != name:
        _refuse("GP418", path, f"names a tensor {shown}, which is not printable text")
    if not isinstance(entry, dict) or entry.keys() != _KEYS:
        _refuse("GP418", path, f"describes `{name}` without exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        _refuse(
            "GP419", path, f"stores `{name}` as {_show(str(dtype))}, a type that safetensors does not have"
        )
    if not isinstance(shape, list) or len(shape) > _MAX_RANK or not all(map(_is_size, shape)):
        _refuse("GP418", path, f"gives `{name}` the shape {_show(str(shape))}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        _refuse("GP418", path, f"gives `{name}` the offsets {_show(str(offsets))}")
    start, end = offsets
    needed = nbytes(dtype, tuple(shape))
    if start > end or needed != end - start:
        _refuse(
            "GP420", path, f"gives `{name}` {end - start:,} bytes; {dtype} {shape} takes {_count(needed)}"
        )
    return TensorInfo(name, dtype, tuple(shape), path.name, data_start + start, data_start + end)


def _count(needed: int | None) -> str:
    return "no whole number of them" if needed is None else f"{needed:,}"


def _show(text: str) -> str:
    """Printable and short: a hostile name must not reach a terminal raw."""
    return text if text.isprintable() and len(text) <= 500 else ascii(text[:200])


def _check_coverage(tensors: list[TensorInfo], data_start: int, size: int, path: Path) -> None:
    at = data_start
    for tensor in tensors:
        if tensor.end > size:
            missing = tensor.end - size
            _refuse(
                "GP421",
                path,
                f"is truncated: `{tensor.name}` ends {missing:,} bytes past the end of the file",
            )
        if tensor.start < at:
            _refuse("GP421", path, f"stores `{tensor.name}` over another tensor")
        if tensor.start > at:
            _refuse(
                "GP421",
                path,
                f"has {tensor.start - at:,} bytes before `{tensor.name}` that belong to no tensor",
            )
        at = tensor.end
    if at != size:
        _refuse("GP421", path, f"has {size - at:,} bytes at its end that belong to no tensor")


def _refuse(code: str, path: Path, what: str) -> NoReturn:
    fail(code, f"{path} {what}", help=_AGAIN)
