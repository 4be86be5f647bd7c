"""Type rules: the shape and dtype of a primitive's result, from those of its inputs.

One function per primitive, in a table keyed by its class; a rule raises `Mistype` with the
reason. Shapes are lists of dimension sizes as on disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from growplan.algebra import Expansion
from growplan.ir import ring_types
from growplan.ir.graph import TensorType
from growplan.ir.mistype import Mistype as Mistype
from growplan.ir.mistype import Types
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

NUMBER = r"(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
INIT = re.compile(rf"like|(normal|constant)\({NUMBER}\)")
NULL_SCALE = re.compile(rf"like(\({NUMBER}\))?|normal\({NUMBER}\)|snr\(-?{NUMBER}\)")


Rule = Callable[[Any, Types], TensorType]


def result_type(op: Primitive, inputs: Types) -> TensorType | None:
    """The type of `op` applied to values of types `inputs`; None for what is read from disk.

    Raises `Mistype` when the primitive does not fit: wrong number of inputs, a map of
    another size, slices past the end, an unknown way to divide or draw.
    """
    if op.arity is not None and len(inputs) != op.arity:
        raise Mistype(f"takes {op.arity} inputs, has {len(inputs)}")
    if isinstance(op, Load):
        return None
    return RULES[type(op)](op, inputs)


def _same(op: Primitive, inputs: Types) -> TensorType:
    return inputs[0]


def _copy_layer(op: CopyLayer, inputs: Types) -> TensorType:
    if op.source < 0 or op.target < 0:
        raise Mistype("layers are counted from 0")
    return inputs[0]


def _copy_tensor(op: CopyTensor, inputs: Types) -> TensorType:
    if not op.source or not op.target or op.source == op.target:
        raise Mistype("a copy has a name of its own")
    return inputs[0]


def _duplicate_row(op: DuplicateRow, inputs: Types) -> TensorType:
    return _gathered(op.map, op.dim, inputs[0])


def _split_column(op: SplitColumn, inputs: Types) -> TensorType:
    if op.shares not in ("even", "uneven", "first", "own"):
        raise Mistype(f"shares are `even`, `uneven`, `first` or `own`, not `{op.shares}`")
    if op.shares == "uneven" and not op.key:
        raise Mistype("uneven shares are drawn, which needs a key")
    if (op.shares == "own") != (op.rows is not None):
        raise Mistype("`own` shares, and no others, need the map of the other dimension")
    if op.rows is not None:
        n = _extent(inputs[0], op.row_dim)
        if op.rows.size != n or not op.rows.kinds <= {"copy", "hole"}:
            raise Mistype(f"the other map makes {op.rows.size} slices of copies, dim {op.row_dim} has {n}")
    if not op.map.keeps_every_unit:
        raise Mistype(f"unit {op.map.counts.index(0)} has no copy, so its column would be lost")
    return _gathered(op.map, op.dim, inputs[0])


def _ln_average(op: LnAverage, inputs: Types) -> TensorType:
    y, x = inputs
    _check_slices(op.at, op.dim, y)
    if _without(y, op.dim) != _without(x, op.dim) or y.dtype != x.dtype:
        raise Mistype(f"the slices of {x} have another shape than those of {y} along dim {op.dim}")
    if op.c.is_zero:
        raise Mistype("a mean times 0 is `zero_out`")
    return y


def _zero_out(op: ZeroOut, inputs: Types) -> TensorType:
    _check_slices(op.at, op.dim, inputs[0])
    return inputs[0]


def _fill(op: Fill, inputs: Types) -> TensorType:
    if op.value.is_zero:
        raise Mistype("a tensor of zeros is `zero_out`")
    return inputs[0]


def _fresh(op: Fresh, inputs: Types) -> TensorType:
    y, x = inputs
    _check_slices(op.at, op.dim, y)
    if len(x.shape) != len(y.shape) or x.dtype != y.dtype:
        raise Mistype(f"{y} cannot take its scale from {x}")
    if not INIT.fullmatch(op.init):
        raise Mistype(f"init is `like`, `normal(std)` or `constant(c)`, not `{op.init}`")
    if not op.key:
        raise Mistype("a draw needs a key")
    return y


def _add_null(op: AddNull, inputs: Types) -> TensorType:
    y, x = inputs
    if op.map.size != _extent(y, op.dim):
        raise Mistype(f"the map makes {op.map.size} slices, dim {op.dim} of {y} has {_extent(y, op.dim)}")
    if not op.map.kinds <= {"copy", "hole"}:
        raise Mistype(f"the map has rows of kind {', '.join(sorted(op.map.kinds - {'copy', 'hole'}))}")
    if op.map.most_copies < 2:
        raise Mistype("no unit has a second copy that noise could cancel against")
    if len(x.shape) != len(y.shape) or x.dtype != y.dtype:
        raise Mistype(f"{y} cannot take its scale from {x}")
    if op.pairing not in ("centred", "first", "paired"):
        raise Mistype(f"noise is `centred`, `first` or `paired`, not `{op.pairing}`")
    if not NULL_SCALE.fullmatch(op.scale):
        raise Mistype(f"scale is `like`, `like(f)`, `normal(std)` or `snr(dB)`, not `{op.scale}`")
    if not op.key:
        raise Mistype("a draw needs a key")
    return y


def _leaf(op: Leaf, inputs: Types) -> TensorType:
    if not op.leaf:
        raise Mistype("a leaf needs a name")
    if op.kind not in ("data", "trainable"):
        raise Mistype(f"a leaf is `data` or `trainable`, not `{op.kind}`")
    if not op.shape or min(op.shape) < 1:
        raise Mistype(f"a leaf has slices, not the shape {list(op.shape)}")
    return TensorType(op.shape, op.dtype)


def _from_leaf(op: FromLeaf, inputs: Types) -> TensorType:
    y, x = inputs
    _check_slices(op.at, op.dim, y)
    if _without(y, op.dim) != _without(x, op.dim) or y.dtype != x.dtype:
        raise Mistype(f"the slices of {x} have another shape than those of {y} along dim {op.dim}")
    wanted = sum(stop - start for start, stop in op.at)
    if x.shape[op.dim] != wanted:
        raise Mistype(f"{wanted} slices from a leaf that has {x.shape[op.dim]}")
    return y


def _sample_units(op: SampleUnits, inputs: Types) -> TensorType:
    x = inputs[0]
    if not 0 < op.count <= _extent(x, op.dim):
        raise Mistype(f"cannot choose {op.count} slices of dim {op.dim} of {x}")
    if not op.key:
        raise Mistype("a choice needs a key")
    return TensorType((*x.shape[: op.dim], op.count, *x.shape[op.dim + 1 :]), x.dtype)


def _drop_units(op: DropUnits, inputs: Types) -> TensorType:
    y, x = inputs
    if x != _sample_units(SampleUnits(op.dim, op.count, op.units), (y,)):
        raise Mistype(f"{x} is not what it replaces of {y}")
    if not op.key or op.key == op.units:
        raise Mistype("a draw needs a key of its own")
    return y


def _add_noise(op: AddNoise, inputs: Types) -> TensorType:
    _extent(inputs[0], op.dim)
    if not 0 < op.std < float("inf") or not op.key:
        raise Mistype("noise has a positive deviation and a key")
    return inputs[0]


def _mask(op: Mask, inputs: Types) -> TensorType:
    _check_slices(op.at, op.dim, inputs[0])
    if not op.axis or op.over < 0:
        raise Mistype("a mask has an axis, and a ramp of 0 steps or more")
    return inputs[0]


def _graft(op: Graft, inputs: Types) -> TensorType:
    y, z = inputs
    _check_slices(op.at, op.dim, y)
    if z != y:
        raise Mistype(f"slices of {z} cannot stand in {y}")
    return y


def _resample(op: Resample, inputs: Types) -> TensorType:
    x, n = inputs[0], _extent(inputs[0], op.dim)
    if min(op.kept, op.old - 1, op.new - 1) < 0:
        raise Mistype("a grid has at least one slice a side")
    if op.kept + op.old**2 != n:
        raise Mistype(f"a grid of {op.old} a side after {op.kept} is {op.kept + op.old**2} slices, not {n}")
    return TensorType((*x.shape[: op.dim], op.kept + op.new**2, *x.shape[op.dim + 1 :]), x.dtype)


def _blend_layers(op: BlendLayers, inputs: Types) -> TensorType:
    if len(inputs) < 2:
        raise Mistype("takes weights and the tensor of each layer")
    weights, first, *others = inputs
    if any(x != first for x in others):
        raise Mistype(f"layers differ: {first}, and {next(x for x in others if x != first)}")
    if not op.layer >= 0 or weights.shape[1:] != (len(inputs) - 1,) or op.layer >= weights.shape[0]:
        raise Mistype(f"weights {weights} have no row {op.layer} for {len(inputs) - 1} layers")
    return first


def _project(op: Project, inputs: Types) -> TensorType:
    return _resized(op, inputs, _section(op, inputs) + inputs[1].shape[0] * op.inner)


def _transform(op: Transform, inputs: Types) -> TensorType:
    rest = _section(op, inputs) - op.count * op.inner
    return _resized(op, inputs, rest + inputs[1].shape[0] * op.inner)


def _add_leaf(op: AddLeaf, inputs: Types) -> TensorType:
    x, leaf = inputs
    if x.shape != leaf.shape:
        raise Mistype(f"{leaf} has another shape than {x}, which it is added to")
    return x


def _section(op: Project | Transform, inputs: Types) -> int:
    """The size of the dimension whose section a leaf widens."""
    x, c = inputs
    n = _extent(x, op.dim)
    if min(op.start, op.count - 1, op.inner - 1) < 0:
        raise Mistype("a section has at least one unit of one slice")
    if op.stop > n:
        raise Mistype(f"a section up to {op.stop}, dim {op.dim} of {x} has {n}")
    if len(c.shape) != 2 or c.shape[1] != op.count:
        raise Mistype(f"an operator on {op.count} units has a column for each, and {c} has not")
    return n


def _resized(op: Project | Transform, inputs: Types, size: int) -> TensorType:
    x = inputs[0]
    return TensorType((*x.shape[: op.dim], size, *x.shape[op.dim + 1 :]), x.dtype)


def _scale(op: Scale, inputs: Types) -> TensorType:
    if op.by.is_zero:
        raise Mistype("a tensor times 0 is `zero_out`")
    return inputs[0]


def _rescale_norm(op: RescaleNorm, inputs: Types) -> TensorType:
    if len(inputs[0].shape) != 1:
        raise Mistype(f"a norm's scale is a vector, not {inputs[0]}")
    if op.by.is_zero:
        raise Mistype("a norm times 0 loses its stream")
    return inputs[0]


RULES: Mapping[type[Primitive], Rule] = {
    CopyLayer: _copy_layer,
    CopyTensor: _copy_tensor,
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
    BlendLayers: _blend_layers,
    Project: _project,
    Transform: _transform,
    AddLeaf: _add_leaf,
    Pack: ring_types.pack,
    RingMap: ring_types.ring_map,
    CoreMatrix: ring_types.core_matrix,
    Join: ring_types.join,
    Scale: _scale,
    RescaleNorm: _rescale_norm,
    Load: _same,
    Store: _same,
}


# parts ----------------------------------------------------------------------------------------


def _gathered(map: Expansion, dim: int, x: TensorType) -> TensorType:
    """x with dimension `dim` gathered by `map`."""
    n = _extent(x, dim)
    if map.old != n:
        raise Mistype(f"the map reads {map.old} slices, dim {dim} of {x} has {n}")
    if not map.kinds <= {"copy", "hole"}:
        raise Mistype(f"the map has rows of kind {', '.join(sorted(map.kinds - {'copy', 'hole'}))}")
    return TensorType((*x.shape[:dim], map.size, *x.shape[dim + 1 :]), x.dtype)


def _extent(x: TensorType, dim: int) -> int:
    if not 0 <= dim < len(x.shape):
        raise Mistype(f"{x} has no dim {dim}")
    return x.shape[dim]


def _without(x: TensorType, dim: int) -> tuple[int, ...]:
    _extent(x, dim)
    return x.shape[:dim] + x.shape[dim + 1 :]


def _check_slices(at: Ranges, dim: int, y: TensorType) -> None:
    """Slices are non-empty, in order, apart from each other, and inside dimension `dim`."""
    end, n = 0, _extent(y, dim)
    for start, stop in at:
        if not end <= start < stop:
            raise Mistype(f"slices {start}:{stop} are empty, or not in order")
        end = stop
    if end == 0:
        raise Mistype("names no slices")
    if end > n:
        raise Mistype(f"slices up to {end}, dim {dim} of {y} has {n}")
