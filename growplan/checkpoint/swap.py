"""Putting a finished directory in the place of an old one, and tidying up after a kill.

A marker file inside the new directory says what is going on, so that the next run can tell its own
leftovers from the user's directories:

    working     TARGET.partial has the marker
    replacing   the marker also names the old directory by inode, and where it may be set aside
    published   TARGET has the marker; the old directory is still to be deleted
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growplan.checkpoint.files import fsync_directory, guard, is_directory, read_regular, write_bytes

MARKER = ".growplan-partial"
_NEW_MARKER = f"{MARKER}.new"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2

Identity = tuple[int, int]  # device, inode


@dataclass(frozen=True)
class Marker:
    """What the marker file says. `own` is the directory it was written in; a copy has another."""

    own: Identity
    replaces: Identity | None = None
    aside: str | None = None


def identity(path: Path) -> Identity | None:
    """Device and inode, links not followed; None when there is nothing."""
    try:
        info = path.lstat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def write_marker(directory: Path, marker: Marker) -> None:
    """Write or replace the marker, atomically."""
    text = json.dumps({"own": marker.own, "replaces": marker.replaces, "aside": marker.aside})
    new = directory / _NEW_MARKER
    write_bytes(new, text.encode())
    with guard(directory / MARKER, "write"):
        new.replace(directory / MARKER)
    fsync_directory(directory)


def is_own(directory: Path) -> bool:
    """A run of growplan made this directory and did not end, so it may be deleted."""
    if directory.is_symlink() or not is_directory(directory):
        return False
    with guard(directory, "list"):
        names = {entry.name for entry in directory.iterdir()}
    return not names - {_NEW_MARKER} or read_marker(directory) is not None


def delete_own(directory: Path) -> None:
    """Delete an unfinished directory, its marker last: a kill in the middle leaves it recognisable."""
    with guard(directory, "clear"):
        for entry in os.scandir(directory):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif entry.name != MARKER:
                Path(entry.path).unlink()
        (directory / MARKER).unlink(missing_ok=True)
        directory.rmdir()


def read_marker(directory: Path) -> Marker | None:
    """The marker of a directory that a run of growplan made; None for any other, a copy included."""
    own = identity(directory)
    try:
        data: Any = json.loads(read_regular(directory / MARKER, 4096))
    except (OSError, ValueError):
        return None
    if not isinstance(data, Mapping) or own is None or _pair(data.get("own")) != own:
        return None
    aside = data.get("aside")
    return Marker(own, _pair(data.get("replaces")), aside if isinstance(aside, str) else None)


def _pair(value: Any) -> Identity | None:
    if isinstance(value, list) and len(value) == 2 and all(type(v) is int for v in value):
        return value[0], value[1]
    return None


def exchange(a: Path, b: Path) -> bool:
    """Swap two directories in one step of the kernel; False where that is not to be had."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    done = rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE)
    if done == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    with guard(b, "replace"):
        raise OSError(code, os.strerror(code))


def replace_directory(new: Path, target: Path) -> Path | None:
    """Put `new` at `target`, whose old content is deleted. A kill leaves old or new there, whole,
    or (without an atomic exchange, for an instant) the old one at TARGET.old-XXXX.

    Returns where the old one still lies, if it could not be deleted.
    """
    own, old = identity(new), identity(target)
    assert own is not None and old is not None
    aside = target.with_name(f"{target.name}.old-{old[1] & 0xFFFFFFFF:08x}")
    with guard(aside, "use"):
        if os.path.lexists(aside):
            raise FileExistsError(errno.EEXIST, "it exists")
    write_marker(new, Marker(own, old, aside.name))
    if exchange(new, target):
        rest = new
    else:
        with guard(target, "set aside"):
            target.rename(aside)
        with guard(target, "put the new checkpoint at"):
            new.rename(target)
        rest = aside
    fsync_directory(target.parent)
    left = _delete(rest)
    if left is None:
        remove_marker(target)
    return left


def _delete(directory: Path) -> Path | None:
    shutil.rmtree(directory, ignore_errors=True)
    return directory if os.path.lexists(directory) else None


def remove_marker(directory: Path) -> None:
    """The directory is finished: no trace of how it was written stays."""
    with guard(directory / MARKER, "remove"):
        (directory / MARKER).unlink(missing_ok=True)
    fsync_directory(directory)


def recover(target: Path, partial: Path) -> None:
    """Finish, or undo, what a killed run had begun. Called under the lock.

    Touches only directories whose inode a marker names.
    """
    published = read_marker(target)
    if published is not None:
        for rest in _candidates(published, target, partial):
            _delete(rest)
        remove_marker(target)
        return
    begun = read_marker(partial)
    if begun is not None and not os.path.lexists(target):
        for old in _candidates(begun, target, partial):
            with guard(target, "restore"):
                old.rename(target)
            fsync_directory(target.parent)


def _candidates(marker: Marker, target: Path, partial: Path) -> list[Path]:
    """Where the old directory may lie now."""
    if marker.replaces is None:
        return []
    places = [partial]
    if marker.aside and "/" not in marker.aside and marker.aside.startswith(target.name + ".old-"):
        places.append(target.with_name(marker.aside))
    return [place for place in places if identity(place) == marker.replaces]
