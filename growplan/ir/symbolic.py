"""Symbolic rules: what each primitive does to a tensor, exactly and without its values.

An abstract interpreter. The meaning of a value is, per dimension, where every slice comes
from, in terms of one tensor `base` (the tensor before the step, or on disk): see `growplan.ir.slices`.

Slices of two dimensions meet in cells; a cell holds a product, except where a fill wrote it
last, so fills remember their turn. A tensor grafted together from two is a base of its own,
which remembers both. Two values with equal `State` are equal tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from growplan.algebra import ONE, even_inverse, first_inverse
from growplan.ir.graph import TensorType
from growplan.ir.primitives import (
    AddLeaf,
    AddNoise,
    AddNull,
    BlendLayers,
    CopyLayer,
    CopyTensor,
    CoreMatrix,
    DropUnits,
    DuplicateRow,
    Fill,
    Fresh,
    FromLeaf,
    Graft,
    Join,
    Leaf,
    LnAverage,
    Load,
    Mask,
    Pack,
    Primitive,
    Project,
    Ranges,
    Resample,
    RescaleNorm,
    RingMap,
    SampleUnits,
    Scale,
    SplitColumn,
    Store,
    Transform,
    ZeroOut,
)
from growplan.ir.slices import COUNTED, Axis, Noise, Objection, Part, PartKind, Shares
from growplan.ir.typing import Mistype, result_type


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


@dataclass(frozen=True)
class Grafted:
    """A base: tensor `y` with the slices `at` of dimension `dim` of tensor `z`."""

    dim: int
    at: Ranges
    y: State
    z: State

    @cached_property
    def _hash(self) -> int:
        return hash((self.dim, self.at, self.y, self.z))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class Made:
    """A base: what a primitive makes of these values, where no slice of it is one of theirs."""

    op: Primitive
    inputs: tuple[State, ...]

    @cached_property
    def _hash(self) -> int:
        return hash((self.op, self.inputs))

    def __hash__(self) -> int:
        return self._hash


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
    if op.shares == "first":
        return x.put(op.dim, x.axes[op.dim].gather(first_inverse(op.map)))
    shares = Shares(op, x.axes[op.dim], x.others(op.dim))
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


def _fill(op: Fill, inputs: States) -> State:
    y = inputs[0]
    scales = [op.value, *[ONE] * (len(y.axes) - 1)]  # a cell holds their product
    parts = (Part("constant", axis.size, c=c) for axis, c in zip(y.axes, scales, strict=True))
    return State(y.base, tuple(Axis((part,)) for part in parts), y.turn + 1)


def _fresh(op: Fresh, inputs: States) -> State:
    y, x = inputs
    if any(part.kind == "hole" for axis in x.axes for part in axis.parts):
        raise Objection("GP260", "takes its scale from slices that are not written yet")
    drawn = (op.key, op.init, x if op.init == "like" else None, y.others(op.dim), y.turn)
    return _filled(y, op.dim, op.at, Part("fresh", 1, of=drawn), whole=True)


def _add_null(op: AddNull, inputs: States) -> State:
    y, x = inputs
    axis = y.axes[op.dim]
    if any(part.kind == "hole" for other in x.axes for part in other.parts):
        raise Objection("GP260", "takes its scale from slices that are not written yet")
    noise = Noise(op, axis, y.others(op.dim), None if op.scale.startswith("normal") else x, y.turn)
    parts, at = [], 0
    for run in op.map.repeated.runs:
        here = axis.cut(at, at + run.count)
        if run.kind == "copy":
            if any(part.kind == "hole" for part in here):
                raise Objection("GP260", f"adds to slices {at}:{at + run.count} before they are written")
            here = [Part("noisy", run.count, at, of=noise)]
        parts += here
        at += run.count
    return y.put(op.dim, Axis.of(parts), turns=1)


def _leaf(op: Leaf, inputs: States) -> State:
    return State.start((op.name, op.leaf, op.kind), op.shape)


def _from_leaf(op: FromLeaf, inputs: States) -> State:
    y, x = inputs
    if any(part.kind == "hole" for axis in x.axes for part in axis.parts):
        raise Objection("GP260", "takes slices that are not written yet")
    given = Part("given", 1, of=(x, op.at, y.others(op.dim), y.turn))
    return _filled(y, op.dim, op.at, given, whole=True)


def _sample_units(op: SampleUnits, inputs: States) -> State:
    """Slices chosen by a key: told apart from others, and copies of nothing that could be named."""
    return _drawn(op.dim, op.count, ("units", op.key), inputs[0])


def _drop_units(op: DropUnits, inputs: States) -> State:
    y, x = inputs
    if x != _sample_units(SampleUnits(op.dim, op.count, op.units), (y,)):
        raise Objection("GP263", "the slices it replaces are not those that it takes the scale from")
    return _drawn(op.dim, y.axes[op.dim].size, (op.count, op.units, op.key), y)


def _add_noise(op: AddNoise, inputs: States) -> State:
    x = inputs[0]
    return _drawn(op.dim, x.axes[op.dim].size, (op.std, op.key), x)


def _drawn(dim: int, count: int, how: Hashable, x: State) -> State:
    """A state whose slices along `dim` are made of x's by chance."""
    if any(part.kind == "hole" for part in x.axes[dim].parts):
        raise Objection("GP260", "draws over slices that are not written yet")
    part = Part("fresh", count, of=(how, x.axes[dim], x.others(dim), x.turn))
    return x.put(dim, Axis((part,)), turns=1)


def _mask(op: Mask, inputs: States) -> State:
    y = inputs[0]
    for begin, end in op.at:
        if any(part.kind == "hole" for part in y.axes[op.dim].cut(begin, end)):
            raise Objection("GP260", f"masks slices {begin}:{end} before they are written")
    zero = Part("zero", 1, of=(op.axis, op.over, y.turn))
    return y.put(op.dim, _overwritten(y.axes[op.dim], op.at, zero), turns=1)


def _graft(op: Graft, inputs: States) -> State:
    if any(part.kind == "hole" for x in inputs for axis in x.axes for part in axis.parts):
        raise Objection("GP260", "takes slices that are not written yet")
    y, z = inputs
    return State.start(Grafted(op.dim, op.at, y, z), tuple(axis.size for axis in y.axes))


def _resample(op: Resample, inputs: States) -> State:
    x = inputs[0]
    axis = x.axes[op.dim]
    if any(part.kind == "hole" for part in axis.parts):
        raise Objection("GP260", "interpolates slices that are not written yet")
    grid = Part("grid", op.new**2, of=(op.old, op.new, Axis.of(axis.cut(op.kept, axis.size))))
    return x.put(op.dim, Axis.of((*axis.cut(0, op.kept), grid)))


def _made(op: Primitive, inputs: States) -> State:
    """A sum, or a rearrangement, that is told apart from others by what it is made of."""
    if any(part.kind == "hole" for x in inputs for axis in x.axes for part in axis.parts):
        raise Objection("GP260", "reads slices that are not written yet")
    shapes = (TensorType(tuple(axis.size for axis in x.axes), "F32") for x in inputs)
    try:
        type_ = result_type(op, tuple(shapes))
    except Mistype as reason:
        raise Objection("GP256", str(reason)) from None
    assert type_ is not None
    return State.start(Made(op, inputs), type_.shape)


def _project(op: Project, inputs: States) -> State:
    kept, new, (before, after) = _mixed(op, inputs)
    return inputs[0].put(op.dim, Axis.of((*before, *kept, new, *after)))


def _transform(op: Transform, inputs: States) -> State:
    _, new, (before, after) = _mixed(op, inputs)
    return inputs[0].put(op.dim, Axis.of((*before, new, *after)))


def _mixed(
    op: Project | Transform, inputs: States
) -> tuple[tuple[Part, ...], Part, tuple[list[Part], list[Part]]]:
    """A section, what a leaf makes of it, and what stands before and after it."""
    x, operator = inputs
    axis = x.axes[op.dim]
    section = Axis.of(axis.cut(op.start, op.stop))
    if any(part.kind == "hole" for part in section.parts):
        raise Objection("GP260", "projects slices that are not written yet")
    new = Part("mixed", operator.axes[0].size * op.inner, of=(operator, op.inner, section, x.turn))
    return section.parts, new, (axis.cut(0, op.start), axis.cut(op.stop, axis.size))


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
    CopyTensor: _same,
    DuplicateRow: _duplicate_row,
    SplitColumn: _split_column,
    LnAverage: _ln_average,
    ZeroOut: _zero_out,
    Fill: _fill,
    Fresh: _fresh,
    AddNull: _add_null,
    Leaf: _leaf,
    FromLeaf: _from_leaf,
    SampleUnits: _sample_units,
    DropUnits: _drop_units,
    AddNoise: _add_noise,
    Mask: _mask,
    Graft: _graft,
    Resample: _resample,
    BlendLayers: _made,
    Project: _project,
    Transform: _transform,
    AddLeaf: _made,
    Pack: _made,
    RingMap: _made,
    CoreMatrix: _made,
    Join: _made,
    Scale: _scaled,
    RescaleNorm: _scaled,
    Store: _same,
}
