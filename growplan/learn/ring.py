"""The differentiable rules of tensor rings (Mango, arXiv 2310.10699).

The order of the sums is what makes them cheap. For a whole model the outputs' core is applied to the
old layers, once for all new ones; then blocks and layers are mixed; then the inputs' core, with both of
its bonds in the sum. With D -> D* units, L -> L* layers of B blocks and bonds of R that is

    R^2 (B L D^2 D* + B L* D D*^2) multiplications, and R^3 (B^2 L + B L L*) D D* between them

For one layer alone the old layers are mixed first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from growplan.ir.primitives import CoreMatrix, Join, RingMap
from growplan.ir.primitives.ring import Cut


def ring_map(op: RingMap, inputs: Sequence[Tensor]) -> Tensor:
    """The blocks of one cut of M2[layer], as one matrix."""
    blocks, outs, depth, ins, *layers = inputs
    mixed = rows_of(depth, op.layer) @ torch.stack(layers).flatten(1)
    return cut_of(op.cut, one_layer(blocks, outs, depth, ins, mixed.view(-1, *layers[0].shape)))


def all_layers(blocks: Tensor, outs: Tensor, depth: Tensor, ins: Tensor, packed: Tensor) -> Tensor:
    """M2 [l2, b2, o2, i2] of all new layers, from the blocks [l1, b1, o1, i1] of all old ones."""
    made = torch.einsum("lboui,romq->lbrqmui", _units(packed, outs), outs)
    made = torch.einsum("lbrqmui,pbcr->lqcpmui", made, blocks)
    return _inputs(torch.einsum("lqcpmui,qlks->kscpmui", made, depth), ins)


def rows_of(depth: Tensor, layer: int) -> Tensor:
    """S_L for one new layer, as weights over the old ones: [r3 r4, l1]."""
    return depth[:, :, layer].transpose(1, 2).flatten(0, 1)


def one_layer(blocks: Tensor, outs: Tensor, depth: Tensor, ins: Tensor, mixed: Tensor) -> Tensor:
    """M2 [b2, o2, i2] of the new layer that `mixed` [r3 r4, b1, o1, i1] has the old ones of."""
    units = _units(mixed.reshape(depth.shape[0], -1, *mixed.shape[1:]), outs)
    made = torch.einsum("qsboui,romq->srbmui", units, outs)
    return _inputs(torch.einsum("srbmui,pbcr->scpmui", made, blocks)[None], ins)[0]


def _units(packed: Tensor, outs: Tensor) -> Tensor:
    """[..., b1, o1, i1] with the outputs as units, and the slices of each: whole heads have several."""
    return packed.reshape(*packed.shape[:-2], outs.shape[1], -1, packed.shape[-1])


def _inputs(made: Tensor, ins: Tensor) -> Tensor:
    """S_I, the last core: [l2, r4, b2, r1, o2, slices of a unit, i1] -> [l2, b2, o2, i2]."""
    units = made.reshape(*made.shape[:-1], ins.shape[1], -1)
    return torch.einsum("kscpmuiv,sinp->kcmunv", units, ins).flatten(4).flatten(2, 3)


def core_matrix(op: CoreMatrix, inputs: Sequence[Tensor]) -> Tensor:
    """S[0, :, :, 0] transposed."""
    return inputs[0][0, :, :, 0].T


def join(op: Join, inputs: Sequence[Tensor]) -> Tensor:
    """[x_0 ; x_1 ; ...] along dim."""
    return torch.cat(list(inputs), op.dim)


def cut_of(cut: Cut, blocks: Tensor) -> Tensor:
    """Some blocks [b, o, i] side by side and one below the other, as the tensor is stored."""
    _, rows, cols = blocks.shape
    grid = blocks[cut.start : cut.stop].view(cut.down, cut.across, rows, cols)
    matrix = grid.transpose(1, 2).reshape(cut.down * rows, cut.across * cols)
    return matrix.T if cut.transposed else matrix
