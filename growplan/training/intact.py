"""Whether what an earlier life of a run left on the disk is still what it wrote.

Directories that were published have hashes in growth.json; of a checkpoint of the Trainer its marker has the
sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from growplan.checkpoint.verify import verify
from growplan.diagnostics import Diagnostic, fail
from growplan.training.places import MARKER, read_json, sizes_in


def hold_published(directory: Path) -> None:
    """GP636 where the directory that a stage left, or began with, is another one by now."""
    wrong = changes(directory)
    if wrong:
        _changed(directory, [each.message for each in wrong], f"move {directory.parent} away")


def hold_checkpoint(checkpoint: Path) -> None:
    """GP636 where a checkpoint lacks files that it had when it was marked as whole, or parts of them."""
    then, now = read_json(checkpoint / MARKER).get("bytes", {}), sizes_in(checkpoint)
    wrong = [
        f"{name} is missing" if name not in now else f"{name} has {now[name]} bytes, not {size}"
        for name, size in then.items()
        if now.get(name) != size
    ]
    if wrong:
        _changed(checkpoint, wrong, f"delete {checkpoint}")


def changes(directory: Path) -> list[Diagnostic]:
    """What is wrong with a directory that was published."""
    return [each for each in verify(directory) if each.severity == "error"]


def _changed(directory: Path, wrong: Sequence[str], way: str) -> None:
    fail(
        "GP636",
        f"{directory} is not what the run left there: {wrong[0]}",
        notes=[("and", each) for each in wrong[1:4]],
        help=("restore it", f"or {way}, and the stage is trained anew from its beginning"),
    )
