"""The directory of a run: what lies where, and what of it is whole.

DIR/run.json                    what the run trains
DIR/plan.grow.yaml              the plan as it was given; plan.grow, where it is lines
DIR/history.jsonl               the losses
DIR/tokens/                     texts as token ids, until the run is done
DIR/01-NAME/stage.json          what the numbers of a stage depend on
DIR/01-NAME/grown/              the model that the stage begins with, where it grows
DIR/01-NAME/checkpoints/        checkpoints of the Trainer; one is whole when its marker lies in it
DIR/01-NAME/trained/            the model that the stage leaves, with its optimizer
DIR/model/                      the last of them, as a plain checkpoint

Directories are published by a rename. What is to be deleted is first renamed to a name that begins with a
dot, so that nothing half-deleted can pass for something whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growplan.checkpoint.files import guard, is_directory, read_bytes, write_whole
from growplan.checkpoint.output import partial_of, sync_tree
from growplan.checkpoint.swap import recover
from growplan.diagnostics import fail

RUN, HISTORY, STAGE, MODEL = "run.json", "history.jsonl", "stage.json", "model"
TOKENS = "tokens"
PLAN, LINES = "plan.grow.yaml", "plan.grow"
MARKER = "growth-checkpoint.json"
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
STAGE_FOLDER = re.compile(r"\d{2,}-.+")
REMOVED = ".removed-"
LEFT = (".growplan-lock", ".new")  # of a killed run, whose directory is locked as a whole


@dataclass(frozen=True)
class StageFolder:
    """The folder of one stage."""

    path: Path

    @property
    def grown(self) -> Path:
        return self.path / "grown"

    @property
    def trained(self) -> Path:
        return self.path / "trained"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def facts(self) -> Path:
        return self.path / STAGE

    def last(self) -> tuple[int, Path] | None:
        """(steps done, directory) of the last whole checkpoint; others are deleted."""
        found = dict(self._whole())
        for step in sorted(found)[:-1]:
            discard(found.pop(step))
        return max(found.items(), default=None)

    def _whole(self) -> Iterator[tuple[int, Path]]:
        for path in entries(self.checkpoints):
            match = CHECKPOINT.fullmatch(path.name)
            if match and (path / MARKER).is_file():
                yield int(match[1]), path
            elif match:
                discard(path)

    def complete(self, checkpoint: Path, step: int) -> None:
        """Mark a checkpoint as whole, once all of it lies on the disk; earlier ones go."""
        sync_tree(checkpoint)
        write_json(checkpoint / MARKER, {"step": step, "bytes": sizes_in(checkpoint)})
        for path in entries(self.checkpoints):
            match = CHECKPOINT.fullmatch(path.name)
            if match and int(match[1]) < step:
                discard(path)


def sizes_in(folder: Path) -> dict[str, int]:
    """File -> its bytes, of all files in a folder of a run but the marker."""
    with guard(folder, "list"):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where there is no folder."""
    if not is_directory(folder):
        return []
    with guard(folder, "list"):
        return sorted(folder.iterdir())


def published(path: Path) -> bool:
    """Whether a directory was published; what a killed run had begun of that is finished or undone."""
    recover(path, partial_of(path))
    return is_directory(path)


def discard(path: Path) -> None:
    """Delete a file or a directory so that a kill leaves none of it under its name."""
    hidden = path.with_name(REMOVED + path.name)
    with guard(path, "delete"):
        if os.path.lexists(hidden):
            _delete(hidden)
        path.rename(hidden)
        _delete(hidden)


def sweep(folder: Path) -> None:
    """Delete what a killed run was deleting or writing in a folder, and in the folders of its stages."""
    for path in entries(folder):
        if path.name.startswith(REMOVED) or path.name.endswith(LEFT):
            with guard(path, "delete"):
                _delete(path)
        elif STAGE_FOLDER.fullmatch(path.name) or path.name in ("checkpoints", TOKENS):
            sweep(path)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def write_json(path: Path, data: Any) -> None:
    """Write a small document, whole or not at all."""
    write_whole(path, (json.dumps(data, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """A document that `write_json` wrote. Raises GP615 for anything else."""
    try:
        found = json.loads(read_bytes(path))
    except ValueError as error:
        found, why = None, str(error)
    else:
        why = "it holds no mapping"
    if not isinstance(found, dict):
        ways = ("begin anew with `--force`", "or give another `--out`")
        fail("GP615", f"{path} cannot be read: {why}", help=ways)
    return found
