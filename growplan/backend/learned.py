"""The torch rules of learned operators: kernels of the primitives that read trainable leaves.

Products are taken in float64 by tiles that lie fixed in the whole tensor, so that a block of rows
gets the bits that the whole tensor would.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from growplan.backend.operands import Block, Operand
from growplan.backend.rows import all_rows, as_index
from growplan.ir.primitives.learned import AddLeaf, BlendLayers, Project, Transform

TILE = 64  # rows of a product that are made together


def blend_layers(op: BlendLayers, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y = sum over l of W[layer, l] x_l, in float64 in the order of the layers."""
    weights, *layers = inputs
    row = weights.rows(range(op.layer, op.layer + 1))[0].to(torch.float64)
    total: Tensor | None = None
    for weight, x in zip(row, layers, strict=True):
        part = x.rows(out.rows).to(torch.float64) * weight
        total = part if total is None else total.add_(part)
    assert total is not None, "a blend of no layers"
    return total.to(out.dtype)


def project(op: Project | Transform, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y = [x ; C x] along `dim`, new units after the old ones of their section; B x in its place."""
    x, operator = inputs
    c = operator.rows(all_rows(operator.type.shape)).to(out.device, torch.float64)
    begin = op.stop if isinstance(op, Project) else op.start
    return _rows(op, begin, x, c, out) if op.dim == 0 else _columns(op, begin, x, c, out)


def add_leaf(op: AddLeaf, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y = x + N, in float64."""
    x, leaf = inputs
    total = x.rows(out.rows).to(torch.float64) + leaf.rows(out.rows).to(out.device, torch.float64)
    return total.to(out.dtype)


def _rows(op: Project | Transform, begin: int, x: Operand, c: Tensor, out: Block) -> Tensor:
    """The block where rows are what is projected: what is made begins at `begin`."""
    rows = as_index(out.rows, out.device)
    added = c.shape[0] * op.inner
    new = (rows >= begin) & (rows < begin + added)
    y = torch.empty((len(rows), *out.type.shape[1:]), dtype=out.dtype, device=out.device)
    kept = rows[~new]
    if kept.numel():
        y[~new] = x.rows(torch.where(kept < begin, kept, kept - begin - added + op.stop))
    if not bool(new.any()):
        return y
    old = x.rows(range(op.start, op.stop)).to(torch.float64).reshape(op.count, -1)
    wanted = rows[new] - begin
    units = wanted // op.inner
    made = torch.empty((len(c), old.shape[1]), dtype=out.dtype, device=out.device)
    for tile in sorted(set((units // TILE).tolist())):
        made[tile * TILE : (tile + 1) * TILE] = (c[tile * TILE : (tile + 1) * TILE].clone() @ old).to(
            out.dtype
        )
    y[new] = made.view(added, *out.type.shape[1:])[wanted]
    return y


def _columns(op: Project | Transform, begin: int, x: Operand, c: Tensor, out: Block) -> Tensor:
    """The block where another dimension is what is projected."""
    rows, total = as_index(out.rows, out.device), all_rows(x.type.shape).stop
    transposed = c.T.contiguous()
    tiles = rows // TILE
    y = torch.empty((len(rows), *out.type.shape[1:]), dtype=out.dtype, device=out.device)
    for tile in sorted(set(tiles.tolist())):
        first = tile * TILE
        old = x.rows(range(first, min(first + TILE, total)))
        section = old.narrow(op.dim, op.start, op.stop - op.start)
        shape = (*old.shape[: op.dim], op.count, op.inner, *old.shape[op.dim + 1 :])
        units = section.reshape(shape).movedim(op.dim, -1).to(torch.float64)
        made = (units.reshape(-1, op.count) @ transposed).view(*units.shape[:-1], len(c))
        new = made.movedim(-1, op.dim).flatten(op.dim, op.dim + 1).to(out.dtype)
        before = old.narrow(op.dim, 0, begin)
        after = old.narrow(op.dim, op.stop, old.shape[op.dim] - op.stop)
        here = tiles == tile
        y[here] = torch.cat([before, new, after], op.dim)[rows[here] - first]
    return y
