"""The directory a run writes to: TARGET.partial first, TARGET only when all of it is there.

with Target.open(path, sources=[source], needed_bytes=n) as target:
    ...                      # write into target.partial
    target.publish()         # fsync everything, rename
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from growplan.checkpoint.files import fsync_directory, guard
from growplan.checkpoint.lock import RunLock
from growplan.checkpoint.swap import (
    Marker,
    delete_own,
    identity,
    is_own,
    recover,
    remove_marker,
    replace_directory,
    write_marker,
)
from growplan.checkpoint.target_checks import (
    check_existing,
    check_free_space,
    check_parent,
    check_partial,
    check_relations,
    is_empty_directory,
    resolve_target,
    target_exists,
)
from growplan.diagnostics import DiagnosticError


@dataclass(frozen=True)
class Published:
    """Where the checkpoint lies; `leftover` is a replaced directory that could not be deleted."""

    path: Path
    leftover: Path | None = None


def partial_of(target: Path) -> Path:
    """Where a run writes before it publishes."""
    return target.with_name(target.name + ".partial")


def check_target(
    path: Path | str,
    *,
    sources: Iterable[Path] = (),
    protect: Iterable[Path] = (),
    force: bool = False,
    needed_bytes: int = 0,
) -> Path:
    """Everything `Target.open` would refuse, with nothing written; returns the resolved target.

    Raises GP401 (exists), GP402 (no usable name or place), GP403 (a foreign .partial),
    GP405 (target and source overlap), GP406 (disk space), GP407 (`--force` on no checkpoint), GP431.
    """
    target = resolve_target(path)
    partial = partial_of(target)
    check_relations(target, partial, sources, protect)
    check_parent(target)
    check_partial(target, partial)
    check_existing(target, force)
    check_free_space(target, needed_bytes, reclaimable=size_of(partial))
    return target


class Target:
    """A claimed target: locked, checked, with an empty `partial` to write into."""

    def __init__(self, path: Path, force: bool, lock: RunLock) -> None:
        self.path = path
        self.partial = partial_of(path)
        self._force = force
        self._lock = lock
        self._published = False

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        sources: Iterable[Path] = (),
        protect: Iterable[Path] = (),
        force: bool = False,
        needed_bytes: int = 0,
    ) -> Target:
        """Check, lock, tidy up after a killed run, and create TARGET.partial.

        `sources` and `protect` (the plan file) must not overlap with the target. Raises what
        `check_target` raises, and GP404 when another run is writing there.
        """
        sources, protect = tuple(sources), tuple(protect)
        target = resolve_target(path)
        check_relations(target, partial_of(target), sources, protect)
        with guard(target.parent, "create"):
            target.parent.mkdir(parents=True, exist_ok=True)
        check_parent(target)
        lock = RunLock(target.with_name(f".{target.name}.growplan-lock"), target)
        try:
            recover(target, partial_of(target))
            check_target(target, sources=sources, protect=protect, force=force, needed_bytes=needed_bytes)
        except BaseException:
            lock.release()
            raise
        self = cls(target, force, lock)
        try:
            self._create_partial()
        except BaseException:
            self.close()
            raise
        return self

    def _create_partial(self) -> None:
        if os.path.lexists(self.partial):
            delete_own(self.partial)
        with guard(self.partial, "create"):
            self.partial.mkdir()
        own = identity(self.partial)
        assert own is not None
        write_marker(self.partial, Marker(own))

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Without `publish`, delete what was written; let go of the lock.

        A `publish` that broke off is finished or undone, as after a kill.
        """
        if not self._published:
            with suppress(DiagnosticError):
                recover(self.path, self.partial)
                if is_own(self.partial):
                    delete_own(self.partial)
        self._lock.release()

    def publish(self) -> Published:
        """Make everything durable and put it at TARGET in one step.

        Raises GP401 when something came to lie at TARGET in the meantime.
        """
        sync_tree(self.partial)
        check_existing(self.path, self._force)
        leftover: Path | None = None
        if self._force and target_exists(self.path) and not is_empty_directory(self.path):
            leftover = replace_directory(self.partial, self.path)
        else:
            self._rename()
            remove_marker(self.path)
        self._published = True
        return Published(self.path, leftover)

    def _rename(self) -> None:
        with guard(self.path, "put the checkpoint at"):
            try:
                self.partial.rename(self.path)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    check_existing(self.path, force=False)
                raise
        fsync_directory(self.path.parent)


def sync_tree(root: Path) -> None:
    """Make every file below a directory durable, and the directories."""
    for folder, _, files in os.walk(root, topdown=False):
        for name in files:
            path = Path(folder) / name
            with guard(path, "sync"):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
        fsync_directory(Path(folder))


def size_of(directory: Path) -> int:
    """Bytes on disk under a directory."""
    total = 0
    for folder, _, files in os.walk(directory):
        for name in files:
            with suppress(OSError):
                total += (Path(folder) / name).lstat().st_blocks * 512
    return total
