"""Left inverses of expansions: how the reader of an axis divides a unit among its copies."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

from growplan.algebra.expansion import Expansion
from growplan.algebra.root import Root
from growplan.algebra.runs import Run


@lru_cache(maxsize=512)
def even_inverse(e: Expansion) -> Expansion:
    """D^T for even shares: row i reads the unit that row i of E copies, times share_i / c_i.

        copy(j, c)          ->   copy(j, (1 / C(j)) / c)      C(j) = copies of unit j
        mean, zero, free    ->   zero                         these rows are not needed to undo E
        hole                ->   hole

    Then D . E = I. A `ValueError` if some unit has no copy.
    """
    if not e.keeps_every_unit:
        raise ValueError(f"unit {e.counts.index(0)} has no copy, so nothing can give it back")
    runs: list[Run] = []
    for run in e.runs:
        if run.kind == "copy":
            runs += _shares(run, e.counts)
        else:
            runs.append(Run("hole" if run.kind == "hole" else "zero", run.count))
    return Expansion(e.old, tuple(runs))


@lru_cache(maxsize=512)
def first_inverse(e: Expansion) -> Expansion:
    """D^T where the first copy of a unit gives back the whole unit and the others nothing.

    copy(j, c)   ->   copy(j, 1 / c) the first time, zero later; all else as in `even_inverse`
    """
    if not e.keeps_every_unit:
        raise ValueError(f"unit {e.counts.index(0)} has no copy, so nothing can give it back")
    seen: set[int] = set()
    runs: list[Run] = []
    for run in e.runs:
        if run.kind != "copy":
            runs.append(Run("hole" if run.kind == "hole" else "zero", run.count))
            continue
        units = range(run.start, run.start + run.count)
        for again, some in groupby(units, seen.__contains__):
            here = list(some)
            share = Run("copy", len(here), here[0], Root.rational(1) / run.c)
            runs.append(Run("zero", len(here)) if again else share)
        seen.update(units)
    return Expansion(e.old, tuple(runs))


def _shares(run: Run, counts: tuple[int, ...]) -> list[Run]:
    """A copy run with its coefficients turned into (1 / count) / c."""
    out, at = [], run.start
    for count, units in groupby(counts[run.start : run.start + run.count]):
        length = sum(1 for _ in units)
        out.append(Run("copy", length, at, Root.rational(1) / (Root.rational(count) * run.c)))
        at += length
    return out
