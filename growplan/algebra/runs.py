"""Rows of an expansion, run-length coded: `growplan.algebra.expansion` says what each kind means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from growplan.algebra.root import ONE, Root

Kind = Literal["copy", "mean", "zero", "free", "hole"]


@dataclass(frozen=True, slots=True)
class Run:
    """`count` consecutive rows of one kind; a copy run reads old units start, start+1, ..."""

    kind: Kind
    count: int
    start: int = 0
    c: Root = ONE

    def __str__(self) -> str:
        scale = "" if self.c.is_one or self.kind not in ("copy", "mean") else f"*{self.c}"
        if self.kind == "copy":
            end = f":{self.start + self.count}" if self.count > 1 else ""
            return f"copy {self.start}{end}{scale}"
        return f"{self.kind}{scale} x{self.count}"


@dataclass(frozen=True)
class Row:
    """One row of an expansion: kind, old unit (copies only), coefficient."""

    kind: Kind
    unit: int = 0
    c: Root = ONE


def _plain(run: Run, old: int) -> Iterable[Run]:
    """The run without what its kind does not use; 0 * anything is zero, the mean of one unit is it."""
    if run.count < 0:
        raise ValueError(f"negative run {run}")
    if run.kind == "copy" and not (run.start >= 0 and run.start + run.count <= old):
        raise ValueError(f"{run} reads past the {old} old units")
    if run.kind not in ("copy", "mean"):
        return (run if run.start == 0 and run.c == ONE else Run(run.kind, run.count),)
    if run.c.is_zero:
        return (Run("zero", run.count),)
    if run.kind == "mean":
        if old == 1:
            return (Run("copy", 1, 0, run.c),) * run.count
        return (Run("mean", run.count, 0, run.c),)
    return (run,)


def merged(runs: Iterable[Run], old: int) -> tuple[Run, ...]:
    """Runs in canonical form: no empty runs, neighbours that continue each other joined."""
    out: list[Run] = []
    for run in (piece for given in runs if given.count for piece in _plain(given, old)):
        if out:
            last = out[-1]
            follows = run.kind != "copy" or last.start + last.count == run.start
            if last.kind == run.kind and last.c == run.c and follows:
                out[-1] = Run(last.kind, last.count + run.count, last.start, last.c)
                continue
        out.append(run)
    return tuple(out)
