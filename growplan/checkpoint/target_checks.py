"""What a target may be: each check is one function that returns, or fails with the way out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from growplan.checkpoint.files import guard, human_bytes, is_directory
from growplan.checkpoint.swap import identity, is_own, read_marker
from growplan.diagnostics import fail

_SLACK = 1 << 20
_LONGEST_NAME = 255  # bytes; what Linux and macOS file systems allow
_SUFFIXES = len("..growplan-lock")  # the longest that is put around the target's name
_CHECKPOINT_FILES = ("config.json", "growth.json")


def resolve_target(path: Path | str) -> Path:
    """The absolute target, links followed, so that TARGET.partial lies on the same disk.

    Raises GP402 for a path that cannot be a target, GP43x for one that cannot be looked at.
    """
    text = os.fspath(path)
    if "\0" in text or not text.strip():
        fail("GP402", f"{text!r} is not a path to write to", help="give a directory: `--out DIR`")
    target = Path(os.path.realpath(text))
    if not target.name:
        fail(
            "GP402", f"{text} is the root of the file system", help="give a directory of its own: `--out DIR`"
        )
    longest = len(os.fsencode(target.name)) + _SUFFIXES
    with guard(target, "use"):
        if longest > _LONGEST_NAME:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        dangling = target.is_symlink()
    if dangling:
        fail(
            "GP402", f"{text} is a link that leads nowhere", help="remove the link, or choose another `--out`"
        )
    if os.path.ismount(target):
        fail(
            "GP402",
            f"{text} is a mount point; a finished checkpoint cannot be renamed onto it",
            help=f"use a directory inside it: `--out {Path(text) / 'model'}`",
        )
    return target


def check_relations(target: Path, partial: Path, sources: Iterable[Path], protect: Iterable[Path]) -> None:
    """GP405 when writing to the target would touch a source, or a file that must stay."""
    for source in sources:
        real = Path(os.path.realpath(source))
        for place in (target, partial):
            _check_overlap(place, real)
        for link in _links_into(real, target):
            fail(
                "GP405",
                f"{link} is a link into {target}, the target",
                help="choose another `--out`: the source must not change while it is read",
            )
    for path in protect:
        real = Path(os.path.realpath(path))
        if is_inside(real, target) or is_inside(real, partial):
            fail(
                "GP405",
                f"{real} lies inside {target}, the target",
                help="choose another `--out`, or move the file",
            )


def _check_overlap(place: Path, source: Path) -> None:
    help = "choose an `--out` beside the source"
    if place == source or (is_inside(place, source) and is_inside(source, place)):
        fail("GP405", f"{place} would be written, and it is the source", help=help)
    if is_inside(place, source):
        fail("GP405", f"{place} would be written inside the source {source}", help=help)
    if is_inside(source, place):
        fail("GP405", f"{place} would be written over the source {source}, which lies inside it", help=help)


def is_inside(path: Path, folder: Path) -> bool:
    """`path` is `folder` or lies in it, however both are spelled or mounted."""
    if path == folder or folder in path.parents:
        return True
    try:
        wanted = folder.stat()
    except OSError:
        return False
    for place in (path, *path.parents):
        try:
            if os.path.samestat(place.stat(), wanted):
                return True
        except OSError:
            continue
    return False


def _links_into(source: Path, target: Path) -> Iterator[Path]:
    if not is_directory(target) or not is_directory(source):
        return
    with guard(source, "list"):
        entries = sorted(os.scandir(source), key=lambda e: e.name)
    for entry in entries:
        if entry.is_symlink() and is_inside(Path(os.path.realpath(entry.path)), target):
            yield Path(entry.path)


def nearest_existing(path: Path) -> Path:
    """The path itself, or the closest directory above it that exists."""
    while not os.path.lexists(path):
        path = path.parent
    return path


def check_parent(target: Path) -> None:
    """GP402 when the parent is no directory, GP431 when nothing may be written there."""
    parent = nearest_existing(target.parent)
    if not is_directory(parent):
        fail("GP402", f"{target} cannot be made: {parent} is not a directory", help="choose another `--out`")
    if not os.access(parent, os.W_OK | os.X_OK):
        fail(
            "GP431",
            f"cannot write in {parent}: permission denied, or a read-only file system",
            help="choose a place of your own with `--out`",
        )


def target_exists(target: Path) -> bool:
    """Anything at all lies there, a dangling link included."""
    return os.path.lexists(target)


def is_empty_directory(path: Path) -> bool:
    """A directory with nothing in it."""
    with guard(path, "list"):
        return is_directory(path) and next(path.iterdir(), None) is None


def check_existing(target: Path, force: bool) -> None:
    """GP401 when something is at the target; GP407 when even `--force` must not replace it."""
    if not target_exists(target):
        return
    if not is_directory(target):
        fail("GP401", f"{target} exists and is not a directory", help="remove it, or choose another `--out`")
    if is_empty_directory(target):
        return
    if not force:
        fail(
            "GP401",
            f"{target} exists and is not empty",
            help=("choose another `--out`", "or replace it with `--force`: its content is deleted"),
        )
    names = {entry.name for entry in target.iterdir()}
    if ".git" in names or not names & set(_CHECKPOINT_FILES):
        why = "holds a git repository" if ".git" in names else "does not hold a checkpoint (no config.json)"
        fail(
            "GP407",
            f"{target} {why}: `--force` does not delete it",
            help="remove it yourself if it is not needed, or choose another `--out`",
        )


def check_partial(target: Path, partial: Path) -> None:
    """GP403 when TARGET.partial is not a leftover of growplan's own."""
    if not os.path.lexists(partial):
        return
    published = read_marker(target)
    if is_own(partial) or (published is not None and published.replaces == identity(partial)):
        return
    fail(
        "GP403",
        f"{partial} exists and was not made by growplan",
        notes=[("needs", "that name, to write in before the result is renamed")],
        help="move it away, or choose another `--out`",
    )


def free_bytes(path: Path) -> int | None:
    """Free space for this user on the disk of `path`; None where the file system does not say."""
    with guard(path, "ask for the free space of"):
        info = os.statvfs(path)
    return info.f_bavail * info.f_frsize if info.f_blocks else None


def check_free_space(target: Path, needed: int, reclaimable: int = 0) -> None:
    """GP406 when the disk of the target has less than `needed` bytes free."""
    place = nearest_existing(target.parent)
    free = free_bytes(place)
    if free is None or free + reclaimable >= needed + _SLACK or not needed:
        return
    fail(
        "GP406",
        f"{human_bytes(needed)} are needed for {target}, and {human_bytes(free)} are free there",
        help=("free some space", "or choose another disk with `--out`"),
    )
