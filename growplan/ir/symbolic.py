"""Symbolic rules: what each primitive does to a tensor, exactly and without its values.

An abstract interpreter. The meaning of a value is, per dimension, where every slice comes
from, in terms of one tensor `base` (the tensor before the step, or on disk):

    copy    c * slice `start` of base            share   an uneven part of a slice of base
    mean    c * the mean of base's slices        fresh   drawn from the generator
    zero    0                                    hole    not written yet

Slices of two dimensions meet in cells; a cell holds a product, except where a fill wrote it
last, so fills remember their turn. Two values with equal `State` are equal tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

from growplan.algebra import ONE, Expansion, Root, Run, even_inverse
from growplan.ir.primitives import (
    CopyLayer,
    DuplicateRow,
    Fresh,
    LnAverage,
    Load,
    Mask,
    Primitive,
    Ranges,
    RescaleNorm,
    Scale,
    SplitColumn,
    Store,
    ZeroOut,
)

PartKind = Literal["copy", "mean", "share", "zero", "fresh", "hole"]
SCALED: frozenset[PartKind] = frozenset({"copy", "mean", "share", "fresh"})
COUNTED: frozenset[PartKind] = frozenset({"copy", "share", "fresh"})


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

    def cut(self, begin: int, end: int) -> list[Part]:
        """The slices begin:end."""
        out, at = [], 0
        for part in self.parts:
            low, high = max(begin, at), min(end, at + part.count)
            if low < high:
                out.append(part.slice(low - at, high - low))
            at += part.count
        return out

    def gather(self, map: Expansion) -> Axis:
        """The slices that the copy rows of `map` name, times their coefficients."""
        return _gather(self, map)

    def _gathered(self, run: Run) -> Iterable[Part]:
        if run.kind != "copy":
            return (Part("hole", run.count),)
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
    """Uneven shares drawn by `key` over an axis; `others` are the other dimensions at that time."""

    map: Expansion
    key: str
    under: Axis
    others: tuple[Axis, ...]

    @cached_property
    def _hash(self) -> int:
        return hash((self.map, self.key, self.under, self.others))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class State:
    """A tensor in terms of `base`, after `turn` fills."""

    base: Hashable
    axes: tuple[Axis, ...]
    turn: int = 0

    @staticmethod
    def start(base: Hashable, shape: tuple[int, ...]) -> State:
        return State(base, tuple(map(Axis.identity, shape)))

    def others(self, dim: int) -> tuple[Axis, ...]:
        return self.axes[:dim] + self.axes[dim + 1 :]

    def put(self, dim: int, axis: Axis, turns: int = 0) -> State:
        return State(self.base, (*self.axes[:dim], axis, *self.axes[dim + 1 :]), self.turn + turns)


States = tuple[State, ...]
Rule = Callable[[Any, States], State]


def apply(op: Primitive, inputs: States) -> State:
    """The meaning of `op` on values of these meanings. Raises `Objection`."""
    try:
        return RULES[type(op)](op, inputs)
    except Objection as objection:
        objection.op = op
        raise


def _same(op: Primitive, inputs: States) -> State:
    return inputs[0]


def _duplicate_row(op: DuplicateRow, inputs: States) -> State:
    x = inputs[0]
    return x.put(op.dim, x.axes[op.dim].gather(op.map))


def _split_column(op: SplitColumn, inputs: States) -> State:
    x = inputs[0]
    if op.shares == "even" or op.map.most_copies == 1:  # one copy takes all of its unit
        return x.put(op.dim, x.axes[op.dim].gather(even_inverse(op.map)))
    shares = Shares(op.map, op.key, x.axes[op.dim], x.others(op.dim))
    parts, at = [], 0
    for run in op.map.runs:
        kind: PartKind = "share" if run.kind == "copy" else "hole"
        parts.append(Part(kind, run.count, at, of=shares) if kind == "share" else Part(kind, run.count))
        at += run.count
    return x.put(op.dim, Axis.of(parts))


def _ln_average(op: LnAverage, inputs: States) -> State:
    y, x = inputs
    if x.base != y.base or x.others(op.dim) != y.others(op.dim):
        raise Objection("GP263", "the slices it averages are not those of the tensor it fills")
    if any(part.kind == "hole" for part in x.axes[op.dim].parts):
        raise Objection("GP260", "averages slices that are not written yet")
    return _filled(y, op.dim, op.at, Part("mean", 1, 0, op.c, x.axes[op.dim]))


def _zero_out(op: ZeroOut, inputs: States) -> State:
    y = inputs[0]
    return _filled(y, op.dim, op.at, Part("zero", 1, of=y.turn), whole=True)


def _fresh(op: Fresh, inputs: States) -> State:
    y, x = inputs
    if any(part.kind == "hole" for axis in x.axes for part in axis.parts):
        raise Objection("GP260", "takes its scale from slices that are not written yet")
    drawn = (op.key, op.init, x if op.init == "like" else None, y.others(op.dim), y.turn)
    return _filled(y, op.dim, op.at, Part("fresh", 1, of=drawn), whole=True)


def _mask(op: Mask, inputs: States) -> State:
    y = inputs[0]
    for begin, end in op.at:
        if any(part.kind == "hole" for part in y.axes[op.dim].cut(begin, end)):
            raise Objection("GP260", f"masks slices {begin}:{end} before they are written")
    zero = Part("zero", 1, of=(op.axis, op.over, y.turn))
    return y.put(op.dim, _overwritten(y.axes[op.dim], op.at, zero), turns=1)


def _scaled(op: Scale | RescaleNorm, inputs: States) -> State:
    return inputs[0].put(0, inputs[0].axes[0].times(op.by))


def _filled(y: State, dim: int, at: Ranges, part: Part, whole: bool = False) -> State:
    """y with holes filled; only a fill of the whole dimension may write over what is there."""
    axis = y.axes[dim]
    if not (whole and at == ((0, axis.size),)):
        for begin, end in at:
            if any(old.kind != "hole" for old in axis.cut(begin, end)):
                raise Objection(
                    "GP261",
                    f"writes over slices {begin}:{end} of dim {dim}, which hold something already",
                    "fill each hole once; to silence a tensor, write all of it",
                )
    return y.put(dim, _overwritten(axis, at, part), turns=1)


def _overwritten(axis: Axis, at: Ranges, part: Part) -> Axis:
    out: list[Part] = []
    done = 0
    for begin, end in at:
        out += axis.cut(done, begin)
        start = begin if part.kind in COUNTED else part.start
        out.append(Part(part.kind, end - begin, start, part.c, part.of))
        done = end
    return Axis.of(out + axis.cut(done, axis.size))


RULES: Mapping[type[Primitive], Rule] = {
    Load: _same,
    CopyLayer: _same,
    DuplicateRow: _duplicate_row,
    SplitColumn: _split_column,
    LnAverage: _ln_average,
    ZeroOut: _zero_out,
    Fresh: _fresh,
    Mask: _mask,
    Scale: _scaled,
    RescaleNorm: _scaled,
    Store: _same,
}
