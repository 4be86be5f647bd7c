"""Files beside the weights: which are carried, which follow the new width, which stay behind.

`plan_sidecars` looks and decides, `carry_sidecars` does. What stays behind is named with the
reason, so that nothing is lost in silence.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from growplan.checkpoint.config import list_directory
from growplan.checkpoint.files import (
    fsync_directory,
    guard,
    human_bytes,
    is_directory,
    is_regular,
    write_bytes,
)
from growplan.checkpoint.modules import Resize, folder_rewrites, module_folders
from growplan.checkpoint.preprocessor import PREPROCESSOR, follow_image
from growplan.checkpoint.sidecar_rules import SMALL, Kind, is_average, kind_of_file, kind_of_folder

__all__ = [
    "Carry",
    "Leave",
    "MakeFolder",
    "Resize",
    "Rewrite",
    "SidecarAction",
    "carry_sidecars",
    "plan_sidecars",
]

README = "README.md"
_WHY_NOT: dict[Kind, str] = {
    "weights": "the old weights again, in another format",
    "training": "state of the old model's training",
    "hidden": "a hidden folder or file",
}
AVERAGE = "a running average (EMA) of the old weights; grow it by the same plan, as a source of its own"


@dataclass(frozen=True)
class Carry:
    """Copy `path` (relative to the source) to `to`, byte for byte."""

    path: str
    to: str
    size: int


@dataclass(frozen=True)
class Rewrite:
    """Carry `path` with some numbers changed; `changes` says which, for the report."""

    path: str
    text: str
    changes: tuple[str, ...]


@dataclass(frozen=True)
class MakeFolder:
    """An (empty) folder that modules.json names."""

    path: str


@dataclass(frozen=True)
class Leave:
    """`path` is not carried, and why."""

    path: str
    why: str


SidecarAction = Carry | Rewrite | MakeFolder | Leave


def plan_sidecars(source: Path, resize: Resize | None = None) -> tuple[SidecarAction, ...]:
    """Decide for every file of `source`, sorted by name.

    `resize` says how hidden, depth and image change; None keeps every size. Raises GP440 when a
    sentence-transformers module has weights of the old width, GP441 when its files are not readable,
    GP442 when a preprocessor cannot follow the image.
    """
    names = sorted(list_directory(source))
    modules = module_folders(source)
    actions: list[SidecarAction] = []
    for name in names:
        path = source / name
        if is_directory(path):
            actions.extend(_folder(source, name, modules, resize))
        elif name == README:
            actions.append(_readme(source, frozenset(names)))
        elif name == PREPROCESSOR and resize is not None and resize.image is not None:
            actions.append(_preprocessor(source, resize.image))
        else:
            actions.extend(_file(source, name))
    return tuple(actions)


def _readme(source: Path, names: frozenset[str]) -> SidecarAction:
    if "growth.json" in names:
        return Leave(README, "the card of the parent; its plan and certificate are in growth.json")
    to, number = "README.source.md", 2
    while to in names:
        to, number = f"README.source-{number}.md", number + 1
    return _carry(source, README, to)


def _preprocessor(source: Path, image: tuple[int, int]) -> SidecarAction:
    carried = _carry(source, PREPROCESSOR, PREPROCESSOR)
    if isinstance(carried, Leave) or image[0] == image[1]:
        return carried
    changed = follow_image(source / PREPROCESSOR, image)
    return carried if changed is None else Rewrite(PREPROCESSOR, *changed)


def _file(source: Path, name: str) -> Iterator[SidecarAction]:
    kind = kind_of_file(name)
    if kind == "written":
        return
    if kind == "weights" and is_average(name):
        yield Leave(name, AVERAGE)
    elif kind in _WHY_NOT:
        yield Leave(name, _WHY_NOT[kind])
    elif kind == "unknown" and _size(source / name) > SMALL:
        yield Leave(name, f"an unknown file of {human_bytes(_size(source / name))}")
    else:
        yield _carry(source, name, name)


def _folder(
    source: Path, name: str, modules: frozenset[str], resize: Resize | None
) -> Iterator[SidecarAction]:
    if not _stays_inside(source, source / name):
        yield Leave(name, "a link that leads out of the source")
        return
    if name in modules:
        yield from _module_folder(source, name, resize)
        return
    kind = kind_of_folder(name)
    if kind == "carry":
        yield from (_carry(source, path, path) for path in _files_under(source, name))
    else:
        yield Leave(f"{name}/", _WHY_NOT.get(kind, "an unknown folder"))


def _module_folder(source: Path, name: str, resize: Resize | None) -> Iterator[SidecarAction]:
    files = list(_files_under(source, name))
    rewrites = folder_rewrites(source, name, files, resize)
    yield MakeFolder(name)
    for path in files:
        if path in rewrites:
            text, changes = rewrites[path]
            yield Rewrite(path, text, changes)
        else:
            yield _carry(source, path, path)


def _files_under(source: Path, name: str) -> Iterator[str]:
    for folder, folders, files in os.walk(source / name):
        folders.sort()
        for file in sorted(files):
            yield os.path.relpath(Path(folder) / file, source)


def _carry(source: Path, path: str, to: str) -> SidecarAction:
    full = source / path
    if not _stays_inside(source, full):
        return Leave(path, "a link that leads out of the source")
    if not is_regular(full):
        return Leave(path, "not a regular file")
    return Carry(path, to, _size(full))


def _stays_inside(source: Path, path: Path) -> bool:
    """Links may lead anywhere inside the source, and from a hub cache's snapshot to its blobs."""
    root, real = Path(os.path.realpath(source)), Path(os.path.realpath(path))
    roots = [root]
    if root.parent.name == "snapshots":
        roots.append(root.parent.parent / "blobs")
    return any(real.is_relative_to(r) for r in roots)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def carried_bytes(actions: Iterable[SidecarAction]) -> int:
    """Disk space the actions take."""
    return sum(
        a.size if isinstance(a, Carry) else len(a.text) if isinstance(a, Rewrite) else 0 for a in actions
    )


def carry_sidecars(actions: Iterable[SidecarAction], source: Path, out: Path) -> tuple[str, ...]:
    """Perform the actions into `out`; returns the names written, sorted. GP43x on an I/O error."""
    written: list[str] = []
    for action in actions:
        match action:
            case MakeFolder(path):
                with guard(out / path, "create"):
                    (out / path).mkdir(parents=True, exist_ok=True)
            case Rewrite(path, text, _):
                _make_parent(out / path)
                write_bytes(out / path, text.encode())
                written.append(path)
            case Carry(path, to, _):
                _make_parent(out / to)
                with guard(out / to, f"copy {source / path} to"):
                    shutil.copyfile(source / path, out / to)
                written.append(to)
            case Leave():
                pass
    fsync_directory(out)
    return tuple(sorted(written))


def _make_parent(path: Path) -> None:
    with guard(path.parent, "create"):
        path.parent.mkdir(parents=True, exist_ok=True)
