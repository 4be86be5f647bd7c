"""The torch rule of every primitive: one function each, from operands to a block of rows.

A kernel computes in the arithmetic dtype (float32 for half precision), writes to no operand,
and gives for a block of rows the same bits as for the whole tensor. Holes are NaN, so that a
hole which a lowering forgets to fill cannot pass an assertion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from growplan.algebra import even_inverse, first_inverse
from growplan.backend.dtypes import torch_dtype
from growplan.backend.experts import add_noise, drop_units, sample_units
from growplan.backend.learned import add_leaf, blend_layers, project
from growplan.backend.maps import gather_of
from growplan.backend.nulls import add_null
from growplan.backend.operands import Block, Moments, Operand
from growplan.backend.philox import grid, key_of, normal
from growplan.backend.resample import bicubic
from growplan.backend.ring import core_matrix, join, pack, ring_map
from growplan.backend.rows import all_rows, as_index
from growplan.backend.shares import own_shares, uneven_columns, uneven_rows
from growplan.backend.slices import along, gathered, inside, ordinals, times, zeroed
from growplan.backend.sums import tree_sum
from growplan.ir.primitives import (
    PRIMITIVES,
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

Kernel = Callable[[Any, Sequence[Operand], Block], Tensor]


def load(op: Load, inputs: Sequence[Operand], out: Block) -> Tensor:
    """Rows of the file, in the arithmetic dtype; the operand is the tensor on disk."""
    return inputs[0].rows(out.rows)


def copy_layer(op: CopyLayer, inputs: Sequence[Operand], out: Block) -> Tensor:
    """The rows as they are."""
    return inputs[0].rows(out.rows)


def copy_tensor(op: CopyTensor, inputs: Sequence[Operand], out: Block) -> Tensor:
    """The rows as they are."""
    return inputs[0].rows(out.rows)


def duplicate_row(op: DuplicateRow, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y[i] = c_i x[j_i] along `dim`."""
    return gathered(op.map, op.dim, inputs[0], out)


def split_column(op: SplitColumn, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y[:, i] = (share_i / c_i) x[:, j_i]; uneven shares sum to x exactly in the stored dtype."""
    if op.shares == "even":
        return gathered(even_inverse(op.map), op.dim, inputs[0], out)
    if op.shares == "first":
        return gathered(first_inverse(op.map), op.dim, inputs[0], out)
    if op.shares == "own":
        return own_shares(op, inputs[0], out)
    if op.shares != "uneven":
        raise ValueError(f"shares are even, uneven, first or own, not {op.shares}")
    key = key_of(op.key)
    if op.dim == 0:
        y = uneven_rows(op.map, inputs[0], out, key)
    else:
        y = uneven_columns(op.map, inputs[0].rows(out.rows), op.dim, out, key)
    scale = gather_of(op.map).scale
    if scale is None:
        return y
    return y / along(scale[as_index(out.rows, scale.device)] if op.dim == 0 else scale, y, op.dim)


def ln_average(op: LnAverage, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y[at] = c * mean over `dim` of x, the mean in float64 in a fixed order."""
    y, x = inputs[0].rows(out.rows).clone(), inputs[1]
    c = float(op.c)
    if op.dim == 0:
        at = inside(op.at, out)
        y[at] = (x.column_mean() * c).to(y.dtype)
        return y
    old = x.rows(out.rows)
    mean = (tree_sum(old, op.dim) / old.shape[op.dim] * c).to(y.dtype).unsqueeze(op.dim)
    for start, stop in op.at:
        y.narrow(op.dim, start, stop - start).copy_(mean.expand_as(y.narrow(op.dim, start, stop - start)))
    return y


def zero_out(op: ZeroOut, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y[at] = 0."""
    return zeroed(op.dim, op.at, inputs[0].rows(out.rows), out)


def fill(op: Fill, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y = value everywhere."""
    return torch.full_like(inputs[0].rows(out.rows), float(op.value))


def mask(op: Mask, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y[at] = 0: the mask's value in the stored checkpoint."""
    return zeroed(op.dim, op.at, inputs[0].rows(out.rows), out)


def fresh(op: Fresh, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y[at] = mean + std * normal(key, element), the element counted in the whole tensor."""
    y = inputs[0].rows(out.rows).clone()
    drawn = scale_of(op.init, inputs[1])
    flat = y.view(y.shape[0], prod(y.shape[1:]))
    columns = torch.arange(flat.shape[1], device=out.device)
    rows = as_index(out.rows, out.device)

    def finish(word: Tensor) -> Tensor:
        return (normal(word) * drawn.std + drawn.mean).to(y.dtype)

    if op.dim == 0:
        at = inside(op.at, out)
        flat[at] = grid(key_of(op.key), rows[at], columns, flat.shape[1], finish)
    else:
        slices = columns.view(y.shape[1:])
        for start, stop in op.at:
            some = slices.narrow(op.dim - 1, start, stop - start).flatten()
            flat[:, some] = grid(key_of(op.key), rows, some, flat.shape[1], finish)
    return y


def leaf(op: Leaf, inputs: Sequence[Operand], out: Block) -> Tensor:
    """Rows of the leaf's values, in the arithmetic dtype; the operand holds what was learned."""
    return inputs[0].rows(out.rows)


def from_leaf(op: FromLeaf, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y[at] = x, slice by slice in order."""
    y, x = inputs[0].rows(out.rows).clone(), inputs[1]
    if op.dim == 0:
        at = inside(op.at, out)
        y[at] = x.rows(ordinals(op.at, as_index(out.rows, out.device)[at]))
        return y
    given, done = x.rows(out.rows), 0
    for start, stop in op.at:
        y.narrow(op.dim, start, stop - start).copy_(given.narrow(op.dim, done, stop - start))
        done += stop - start
    return y


def graft(op: Graft, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y[at] = z[at]."""
    y, z = inputs[0].rows(out.rows).clone(), inputs[1]
    if op.dim == 0:
        at = inside(op.at, out)
        if at.numel():
            y[at] = z.rows(as_index(out.rows, out.device)[at])
        return y
    other = z.rows(out.rows)
    for start, stop in op.at:
        y.narrow(op.dim, start, stop - start).copy_(other.narrow(op.dim, start, stop - start))
    return y


def resample(op: Resample, inputs: Sequence[Operand], out: Block) -> Tensor:
    """[kept ; grid] with the grid interpolated in float64, in a fixed order."""
    x = inputs[0]
    if op.dim != 0:
        return bicubic(x.rows(out.rows), op.dim, op.kept, op.old, op.new)
    whole = bicubic(x.rows(all_rows(x.type.shape)), 0, op.kept, op.old, op.new)
    return whole.index_select(0, as_index(out.rows, out.device))


def scale(op: Scale, inputs: Sequence[Operand], out: Block) -> Tensor:
    """c x."""
    return times(op.by, inputs[0].rows(out.rows))


def rescale_norm(op: RescaleNorm, inputs: Sequence[Operand], out: Block) -> Tensor:
    """c gamma."""
    return times(op.by, inputs[0].rows(out.rows))


def store(op: Store, inputs: Sequence[Operand], out: Block) -> Tensor:
    """The rows, rounded once to the stored dtype."""
    return inputs[0].rows(out.rows).to(torch_dtype(out.type.dtype))


KERNELS: dict[type[Primitive], Kernel] = {
    Load: load,
    CopyLayer: copy_layer,
    CopyTensor: copy_tensor,
    DuplicateRow: duplicate_row,
    SplitColumn: split_column,
    LnAverage: ln_average,
    ZeroOut: zero_out,
    Fill: fill,
    Fresh: fresh,
    AddNull: add_null,
    Leaf: leaf,
    FromLeaf: from_leaf,
    SampleUnits: sample_units,
    DropUnits: drop_units,
    AddNoise: add_noise,
    Mask: mask,
    Graft: graft,
    Resample: resample,
    BlendLayers: blend_layers,
    Project: project,
    Transform: project,
    AddLeaf: add_leaf,
    Pack: pack,
    RingMap: ring_map,
    CoreMatrix: core_matrix,
    Join: join,
    Scale: scale,
    RescaleNorm: rescale_norm,
    Store: store,
}
assert set(KERNELS) == set(PRIMITIVES), "every primitive has a kernel"


def scale_of(init: str, x: Operand) -> Moments:
    """What `like`, `normal(std)` or `constant(c)` draws from."""
    if init == "like":
        return x.moments()
    match = re.fullmatch(r"(normal|constant)\(([^)]+)\)", init)
    if match is None:
        raise ValueError(f"init is like, normal(std) or constant(c), not {init}")
    number = float(match[2])
    return Moments(0.0, number) if match[1] == "normal" else Moments(number, 0.0)
