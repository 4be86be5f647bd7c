"""history.jsonl: a line for each step of training, and for each loss on what is held out.

    {"kind": "step", "stage": "wide", "step": 3, "global_step": 303, "tokens": …, "flops": …, "loss": …, …}
    {"kind": "growth", …, "before": …, "after": …}      held out: the model before a growth, the grown one
    {"kind": "begin" | "end", …, "held_out": …}         held out, as a stage begins to train and ends

Tokens and FLOPs are those of the run so far; a step has its rate `lr` too, and its `masks` where some rise.
No line depends on when or how often the run was interrupted.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

from growplan.checkpoint.files import guard, path_exists, write_whole
from growplan.diagnostics import fail

Line = Mapping[str, Any]


class History:
    """The lines of a run; each is on its way to the disk when `add` returns, and there after `sync`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[dict[str, Any]]:
        """The lines written so far, up to one that is none: a last one that a kill cut short."""
        if not path_exists(self.path):
            return []
        with guard(self.path, "read"):
            raw = self.path.read_bytes()
        found = []
        for text in raw.split(b"\n")[:-1]:
            try:
                line = json.loads(text)
            except ValueError:
                break
            if not isinstance(line, dict) or not line.keys() >= {"kind", "stage", "step"}:
                break
            found.append(line)
        return found

    def rewind(self, stages: Collection[str], stage: str, step: int | None, folder: Path) -> None:
        """Take away what comes after `step` of `stage` (None: all of it); `stages` were done before.

        The loss at a stage's end goes too: who rewinds measures it again. Raises GP636 where a step before is
        not there; `folder` is that of the stage.
        """
        kept = [line for line in self.lines() if line["stage"] in stages or _stays(line, stage, step)]
        there = {line["step"] for line in kept if line["stage"] == stage and line["kind"] == "step"}
        lost = sorted(set(range(1, (step or 0) + 1)) - there)
        if lost:
            self.lacks(f"step {lost[0]} of stage `{stage}`", folder)
        data = b"".join(map(_encoded, kept))
        with guard(self.path, "read"):
            same = path_exists(self.path) and self.path.read_bytes() == data
        if not same:
            write_whole(self.path, data)

    def lacks(self, what: str, stage: Path) -> NoReturn:
        """GP636 for what was written once, of the stage in a folder."""
        ways = ("restore the file", f"or move {stage} away, and what comes after it: it is trained anew")
        fail("GP636", f"{self.path} lacks {what}, or a line before it is broken", help=ways)

    def add(self, line: Line) -> None:
        data = _encoded(line)
        with guard(self.path, "write"), self.path.open("ab", buffering=0) as file:
            if file.write(data) < len(data):  # of a line that is cut the disk says nothing by itself
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        """Make durable what was added."""
        with guard(self.path, "write"), self.path.open("ab") as file:
            os.fsync(file.fileno())


def _stays(line: Line, stage: str, step: int | None) -> bool:
    return line["stage"] == stage and step is not None and line["step"] <= step and line["kind"] != "end"


def _encoded(line: Line) -> bytes:
    return (json.dumps(line) + "\n").encode()
