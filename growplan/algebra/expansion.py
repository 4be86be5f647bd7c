"""Expansions: how each new unit of an axis is made from old ones.

An expansion `E` is an `n* x n` matrix written as run-length rows

    copy(j, c)   c * e_j           the old unit j, times c
    mean(c)      c * (1/n) * 1^T   the mean of all old units, times c
    zero         0
    free         not determined by the old units: whoever reads it must ignore it
    hole         not written yet (only inside the IR, never in a finished map)

Coefficients are exact: `Root(q)` is sign(q) * sqrt(|q|) with q rational.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby

from growplan.algebra.root import ONE, Root
from growplan.algebra.runs import Kind, Row, Run, merged


@dataclass(frozen=True)
class Expansion:
    """An `size x old` map in canonical run-length form. Equality is equality of the matrix."""

    old: int
    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs", merged(self.runs, self.old))

    @cached_property
    def _hash(self) -> int:
        return hash((self.old, self.runs))

    def __hash__(self) -> int:
        return self._hash  # a long map is hashed once: maps are keys of caches

    # construction -------------------------------------------------------------------------

    @staticmethod
    @lru_cache(maxsize=4096)
    def identity(n: int) -> Expansion:
        return Expansion(n, (Run("copy", n),))

    @staticmethod
    def of_units(old: int, units: Iterable[int]) -> Expansion:
        """Plain copies: new unit i is old unit units[i] (a growth index map g)."""
        return Expansion(old, tuple(Run("copy", 1, u) for u in units))

    @staticmethod
    def circular(old: int, new: int) -> Expansion:
        """Copies in order, again and again: new unit i is old unit i mod n."""
        full, rest = divmod(new, old)
        return Expansion(old, (Run("copy", old),) * full + (Run("copy", rest),))

    @staticmethod
    def padded(old: int, new: int, kind: Kind) -> Expansion:
        """As many whole copies as fit, then rows of `kind` (LEMON's m copies plus residue)."""
        full, rest = divmod(new, old)
        return Expansion(old, (Run("copy", old),) * full + (Run(kind, rest),))

    @staticmethod
    def appended(old: int, new: int, kind: Kind) -> Expansion:
        """The old units once, then `new - old` rows of `kind`."""
        return Expansion(old, (Run("copy", old), Run(kind, new - old)))

    # inspection ---------------------------------------------------------------------------

    @cached_property
    def size(self) -> int:
        return sum(run.count for run in self.runs)

    @property
    def is_identity(self) -> bool:
        return self == Expansion.identity(self.old)

    @cached_property
    def kinds(self) -> frozenset[Kind]:
        return frozenset(run.kind for run in self.runs)

    def rows(self) -> Iterator[Row]:
        for run in self.runs:
            for k in range(run.count):
                yield Row(run.kind, run.start + k if run.kind == "copy" else 0, run.c)

    def positions(self, kind: Kind) -> tuple[tuple[int, int], ...]:
        """Half-open index ranges of the rows of `kind`."""
        at, out = 0, []
        for run in self.runs:
            if run.kind == kind:
                out.append((at, at + run.count))
            at += run.count
        return tuple(out)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """C(j): how many copy rows each old unit has."""
        marks = [0] * (self.old + 1)
        for run in self.runs:
            if run.kind == "copy":
                marks[run.start] += 1
                marks[run.start + run.count] -= 1
        total, out = 0, []
        for mark in marks[:-1]:
            total += mark
            out.append(total)
        return tuple(out)

    @cached_property
    def distinct_counts(self) -> frozenset[int]:
        """The numbers of copies that occur among the old units: `set(counts)`, from the runs alone."""
        marks = {0: 0}
        for run in self.runs:
            if run.kind == "copy":
                marks[run.start] = marks.get(run.start, 0) + 1
                marks[run.start + run.count] = marks.get(run.start + run.count, 0) - 1
        total, out = 0, set()
        for at in sorted(marks):
            total += marks[at]
            if at < self.old:
                out.add(total)
        return frozenset(out)

    @property
    def most_copies(self) -> int:
        """The largest number of copies of one old unit."""
        return max(self.distinct_counts, default=0)

    @cached_property
    def scales(self) -> frozenset[Root]:
        """The distinct coefficients of copy rows."""
        return frozenset(run.c for run in self.runs if run.kind == "copy")

    @cached_property
    def repeats(self) -> tuple[tuple[int, int], ...]:
        """Half-open index ranges of the copy rows whose unit an earlier row copies: the new units."""
        seen, ranges, at = bytearray(self.old), list[tuple[int, int]](), 0
        for run in self.runs:
            for i in range(run.count if run.kind == "copy" else 0):
                if seen[run.start + i]:
                    begin = ranges.pop()[0] if ranges and ranges[-1][1] == at + i else at + i
                    ranges.append((begin, at + i + 1))
                seen[run.start + i] = 1
            at += run.count
        return tuple(ranges)

    @property
    def uniform_count(self) -> int | None:
        """k when every old unit has exactly k copies, else None."""
        return next(iter(self.distinct_counts)) if len(self.distinct_counts) == 1 else None

    @cached_property
    def ranks(self) -> tuple[int, ...]:
        """Which copy of its unit each row is, from 0 up; -1 for rows that are no copies."""
        seen = [0] * self.old
        out: list[int] = []
        for row in self.rows():
            out.append(seen[row.unit] if row.kind == "copy" else -1)
            if row.kind == "copy":
                seen[row.unit] += 1
        return tuple(out)

    @cached_property
    def repeated(self) -> Expansion:
        """The copy rows of units that have several copies; every other row a hole."""
        runs: list[Run] = []
        for run in self.runs:
            if run.kind != "copy":
                runs.append(Run("hole", run.count))
                continue
            at = run.start
            for several, units in groupby(self.counts[at : at + run.count], lambda count: count > 1):
                length = sum(1 for _ in units)
                runs.append(Run("copy", length, at, run.c) if several else Run("hole", length))
                at += length
        return Expansion(self.old, tuple(runs))

    @property
    def is_plain(self) -> bool:
        """Every row is an unscaled copy or zero or free (what a non-linearity may see)."""
        return "mean" not in self.kinds and self.scales <= {ONE}

    @property
    def keeps_every_unit(self) -> bool:
        """Every old unit has a copy, so that a left inverse on copies exists."""
        return min(self.distinct_counts, default=0) > 0

    # maps on maps -------------------------------------------------------------------------

    def map_kind(self, source: Kind, target: Kind) -> Expansion:
        """The same map with rows of kind `source` turned into kind `target`."""
        runs = (Run(target, r.count) if r.kind == source else r for r in self.runs)
        return Expansion(self.old, tuple(runs))

    def plain(self) -> Expansion:
        """The same copies without coefficients."""
        runs = (Run("copy", r.count, r.start) if r.kind == "copy" else r for r in self.runs)
        return Expansion(self.old, tuple(runs))

    def scaled(self, c: Root) -> Expansion:
        """c * E."""
        runs = (
            Run(r.kind, r.count, r.start, r.c * c) if r.kind in ("copy", "mean") else r for r in self.runs
        )
        return Expansion(self.old, tuple(runs))

    def after(self, first: Expansion) -> Expansion | None:
        """self o first as one map, or None where the row language is not closed.

        A copy of any row is that row; the mean of rows is a mean only when `first` copies
        every unit equally often with one scale, plus any number of equal mean rows.
        """
        if self.old != first.size:
            raise ValueError(f"cannot compose {self.old} with {first.size}")
        from growplan.algebra.compose import compose

        return compose(self, first)

    # products -----------------------------------------------------------------------------

    def __add__(self, other: Expansion) -> Expansion:
        """Direct sum: the block-diagonal map of a concatenated axis (fused q, k, v).

        A mean row would read only its own block, which is not a mean of the whole axis.
        """
        if "mean" in self.kinds | other.kinds and self.old and other.old:
            raise ValueError("a mean row has no direct sum")
        shifted = (
            Run(r.kind, r.count, r.start + self.old if r.kind == "copy" else 0, r.c) for r in other.runs
        )
        return Expansion(self.old + other.old, self.runs + tuple(shifted))

    def __mul__(self, other: Expansion) -> Expansion:
        """Kronecker product: self on the outer index, other on the inner (heads x head_dim)."""
        if "mean" in self.kinds | other.kinds:
            raise ValueError("a mean row has no Kronecker product")
        if other.is_identity:
            return self._blown_up(other.old)
        runs: list[Run] = []
        for row in self.rows():
            if row.kind != "copy":
                runs.append(Run(row.kind, other.size))
                continue
            for r in other.runs:
                start = row.unit * other.old + r.start if r.kind == "copy" else 0
                runs.append(Run(r.kind, r.count, start, r.c * row.c if r.kind == "copy" else r.c))
        return Expansion(self.old * other.old, tuple(runs))

    def _blown_up(self, inner: int) -> Expansion:
        runs = (
            Run(r.kind, r.count * inner, r.start * inner if r.kind == "copy" else 0, r.c) for r in self.runs
        )
        return Expansion(self.old * inner, tuple(runs))

    def __str__(self) -> str:
        return "[" + ", ".join(map(str, self.runs)) + "]"
