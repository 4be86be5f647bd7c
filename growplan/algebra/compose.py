"""Composition of expansions, where the row language is closed."""

from __future__ import annotations

from fractions import Fraction

from growplan.algebra.expansion import Expansion
from growplan.algebra.root import Root
from growplan.algebra.runs import Run


def compose(second: Expansion, first: Expansion) -> Expansion | None:
    """second o first, or None when a row of the product has no name.

        copy(i, c) o first  ->  c * (row i of first)
        mean(c)    o first  ->  c * k * s * n / n1 + (means)  as one mean row, if first is even

    where n1 = first.size, k the copies of each old unit, s their one scale.
    """
    mean_scale = _mean_of(first) if "mean" in second.kinds else None
    starts = _run_starts(first)
    runs: list[Run] = []
    for run in second.runs:
        if run.kind == "copy":
            runs += [_times(piece, run.c) for piece in _slice(first, starts, run.start, run.count)]
        elif run.kind == "mean":
            if mean_scale is None:
                return None
            runs.append(Run("mean", run.count, 0, run.c * mean_scale))
        else:
            runs.append(run)
    return Expansion(first.old, tuple(runs))


def _times(run: Run, c: Root) -> Run:
    return Run(run.kind, run.count, run.start, run.c * c) if run.kind in ("copy", "mean") else run


def _run_starts(e: Expansion) -> list[int]:
    at, out = 0, []
    for run in e.runs:
        out.append(at)
        at += run.count
    return out


def _slice(e: Expansion, starts: list[int], begin: int, count: int) -> list[Run]:
    """Rows begin:begin+count of e, as runs."""
    from bisect import bisect_right

    out: list[Run] = []
    index = bisect_right(starts, begin) - 1
    while count > 0:
        run = e.runs[index]
        skip = begin - starts[index]
        take = min(run.count - skip, count)
        start = run.start + skip if run.kind == "copy" else 0
        out.append(Run(run.kind, take, start, run.c))
        begin, count, index = begin + take, count - take, index + 1
    return out


def _mean_of(first: Expansion) -> Root | None:
    """m such that mean over first's rows = m * mean over old units, or None."""
    if first.kinds & {"free", "hole"} or first.uniform_count is None or len(first.scales) > 1:
        return None
    total: Root | None = Root(Fraction(0))
    for run in first.runs:
        if run.kind in ("copy", "mean") and total is not None:
            total = total.plus(run.c * Root.rational(run.count))
    return None if total is None else total / Root.rational(first.size)
