"""Where the slices of a tensor come from, along one dimension: the words of the symbolic rules.

copy    c * slice `start` of base            share   an uneven part of a slice of base
mean    c * the mean of base's slices        fresh   drawn from the generator
zero    0                                    hole    not written yet
grid    interpolated between slices of base  given   a slice of a leaf
noisy   what stood there before a null term was added to it
constant  c, whatever base holds     mixed   sums of the slices of a section, by a learned operator
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Literal

from growplan.algebra import ONE, Expansion, Root, Run
from growplan.ir.primitives import AddNull, Primitive, SplitColumn

PartKind = Literal[
    "copy", "mean", "share", "noisy", "zero", "fresh", "given", "grid", "constant", "mixed", "hole"
]
SCALED: frozenset[PartKind] = frozenset(
    {"copy", "mean", "share", "noisy", "fresh", "given", "grid", "constant", "mixed"}
)
COUNTED: frozenset[PartKind] = frozenset({"copy", "share", "noisy", "fresh", "given", "grid", "mixed"})


class Objection(Exception):
    """What the verifier holds against a value: a code, the reason, and what would be right."""

    def __init__(self, code: str, message: str, help: str = "", op: Primitive | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.help, self.op = code, message, help, op


@dataclass(frozen=True, slots=True)
class Part:
    """`count` slices of one kind. `of` says what is averaged, divided, drawn or masked, and when."""

    kind: PartKind
    count: int
    start: int = 0
    c: Root = ONE
    of: Hashable = None

    def slice(self, skip: int, count: int) -> Part:
        """The `count` slices after the first `skip`."""
        start = self.start + skip if self.kind in COUNTED else self.start
        return Part(self.kind, count, start, self.c, self.of)

    def times(self, c: Root) -> Part:
        if c.is_one or self.kind not in SCALED:
            return self
        return Part(self.kind, self.count, self.start, self.c * c, self.of)


@dataclass(frozen=True)
class Axis:
    """The slices along one dimension, neighbours that continue each other joined."""

    parts: tuple[Part, ...]

    @staticmethod
    def of(parts: Iterable[Part]) -> Axis:
        out: list[Part] = []
        for part in parts:
            if out and _continues(out[-1], part):
                out[-1] = Part(part.kind, out[-1].count + part.count, out[-1].start, part.c, part.of)
            elif part.count:
                out.append(part)
        return Axis(tuple(out))

    @staticmethod
    @lru_cache(maxsize=1024)
    def identity(n: int) -> Axis:
        return Axis((Part("copy", n),))

    @cached_property
    def size(self) -> int:
        return sum(part.count for part in self.parts)

    @cached_property
    def _hash(self) -> int:
        return hash(self.parts)

    def __hash__(self) -> int:
        return self._hash

    def uniform_scale(self, n: int) -> Root | None:
        """c when the axis is c * identity on n units, else None."""
        if len(self.parts) != 1:
            return None
        part = self.parts[0]
        return part.c if (part.kind, part.count, part.start) == ("copy", n, 0) else None

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        return tuple(accumulate((part.count for part in self.parts), initial=0))

    def cut(self, begin: int, end: int) -> list[Part]:
        """The slices begin:end."""
        out, at = [], begin
        index = max(0, bisect_right(self._starts, begin) - 1)
        while at < end and index < len(self.parts):
            part, skip = self.parts[index], at - self._starts[index]
            count = min(part.count - skip, end - at)
            out.append(part.slice(skip, count))
            at, index = at + count, index + 1
        return out

    def gather(self, map: Expansion) -> Axis:
        """The slices that the copy rows of `map` name, times their coefficients."""
        return _gather(self, map)

    def _gathered(self, run: Run) -> Iterable[Part]:
        if run.kind != "copy":
            return (Part("zero" if run.kind == "zero" else "hole", run.count),)
        return (part.times(run.c) for part in self.cut(run.start, run.start + run.count))

    def times(self, c: Root) -> Axis:
        return Axis.of(part.times(c) for part in self.parts)


@lru_cache(maxsize=4096)
def _gather(axis: Axis, map: Expansion) -> Axis:
    return Axis.of(piece for run in map.runs for piece in axis._gathered(run))


def _continues(last: Part, part: Part) -> bool:
    if (last.kind, last.c, last.of) != (part.kind, part.c, part.of):
        return False
    return part.kind not in COUNTED or last.start + last.count == part.start


@dataclass(frozen=True)
class Shares:
    """Shares that `op` drew, or gave row by row, over the axis `under`; `others` are the other axes then."""

    op: SplitColumn
    under: Axis
    others: tuple[Axis, ...]

    @cached_property
    def _hash(self) -> int:
        return hash((self.op, self.under, self.others))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class Noise:
    """A null term that `op` added to the axis `under`, scaled by `x`, at `turn`."""

    op: AddNull
    under: Axis
    others: tuple[Axis, ...]
    x: Hashable
    turn: int

    @cached_property
    def _hash(self) -> int:
        return hash((self.op, self.under, self.others, self.x, self.turn))

    def __hash__(self) -> int:
        return self._hash
