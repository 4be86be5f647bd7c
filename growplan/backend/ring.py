"""The torch rules of tensor rings: kernels of `pack`, `ring_map`, `core_matrix` and `join`.

Sums are taken in float64, block by block of the new tensor and each block as a whole, so that a block
of rows gets the bits that the whole tensor would.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from growplan.backend.operands import Block, Operand
from growplan.backend.rows import all_rows, as_index
from growplan.ir.primitives.ring import CoreMatrix, Cut, Join, Pack, RingMap


def pack(op: Pack, inputs: Sequence[Operand], out: Block) -> Tensor:
    """Blocks [block, rows, cols], those of each cut row by row."""
    wanted = as_index(out.rows, out.device)
    y = torch.empty((len(wanted), op.rows, op.cols), dtype=out.dtype, device=out.device)
    first = 0
    for cut, x in zip(op.cuts, inputs, strict=True):
        here = (wanted >= first) & (wanted < first + cut.count)
        if bool(here.any()):
            y[here] = _blocks(op, cut, x)[wanted[here] - first]
        first += cut.count
    return y


def _blocks(op: Pack, cut: Cut, x: Operand) -> Tensor:
    """The blocks of one matrix."""
    height = cut.down * op.rows
    if cut.transposed:
        matrix = x.rows(all_rows(x.type.shape)).narrow(1, cut.start, height).T
    else:
        matrix = x.rows(range(cut.start, cut.start + height))
    grid = matrix.reshape(cut.down, op.rows, cut.across, op.cols)
    return grid.transpose(1, 2).reshape(cut.count, op.rows, op.cols)


def core_matrix(op: CoreMatrix, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y[j, i] = S[0, i, j, 0]."""
    (core,) = inputs
    return core.rows(range(1))[0, :, :, 0].T[as_index(out.rows, out.device)]


def join(op: Join, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y = [x_0 ; x_1 ; ...] along dim."""
    if op.dim:
        return torch.cat([x.rows(out.rows) for x in inputs], op.dim)
    rows, first = as_index(out.rows, out.device), 0
    y = torch.empty((len(rows), *out.type.shape[1:]), dtype=out.dtype, device=out.device)
    for x in inputs:
        count = x.type.shape[0]
        here = (rows >= first) & (rows < first + count)
        if bool(here.any()):
            y[here] = x.rows(rows[here] - first)
        first += count
    return y


def ring_map(op: RingMap, inputs: Sequence[Operand], out: Block) -> Tensor:
    """The rows of M2[layer, blocks of the cut], a whole line of blocks at a time."""
    cores = [core.rows(all_rows(core.type.shape)).to(torch.float64) for core in inputs[:4]]
    mixed = _mixed(cores[2][:, :, op.layer], inputs[4:])
    rows, cut = as_index(out.rows, out.device), op.cut
    lines = cut.across if cut.transposed else cut.down
    height = out.type.shape[0] // lines
    y = torch.empty((len(rows), *out.type.shape[1:]), dtype=out.dtype, device=out.device)
    for line in sorted(set((rows // height).tolist())):
        if cut.transposed:
            blocks = range(cut.start + line, cut.stop, cut.across)
        else:
            blocks = range(cut.start + line * cut.across, cut.start + (line + 1) * cut.across)
        made = [_block(cores, mixed, block) for block in blocks]
        matrix = torch.cat([block.T for block in made] if cut.transposed else made, 1).to(out.dtype)
        here = rows // height == line
        y[here] = matrix[rows[here] - line * height]
    return y


def _mixed(weights: Tensor, layers: Sequence[Operand]) -> Tensor:
    """sum over l1 of S_L[r3, l1, r4] M1[l1]: [r3, r4, block, o1, i1], one layer read at a time."""
    total: Tensor | None = None
    for layer, x in enumerate(layers):
        blocks = x.rows(all_rows(x.type.shape)).to(torch.float64)
        part = weights[:, layer, :, None, None, None] * blocks
        total = part if total is None else total.add_(part)
    assert total is not None, "a ring of no layers"
    return total


def _block(cores: Sequence[Tensor], mixed: Tensor, block: int) -> Tensor:
    """One block [o2, i2] of the new layer."""
    blocks, outs, _, ins = cores
    _, r4, b1, rows, cols = mixed.shape
    inner_o, inner_i = rows // outs.shape[1], cols // ins.shape[1]
    o2, i2 = outs.shape[2] * inner_o, ins.shape[2] * inner_i
    left = outs.permute(2, 0, 3, 1).reshape(outs.shape[2], -1).clone()  # [o2, (r2, r3, o1)]
    total = torch.zeros((o2, i2), dtype=torch.float64, device=mixed.device)
    for r1 in range(blocks.shape[0]):
        weights = blocks[r1, :, block].T.contiguous()  # [r2, b1]
        for bond in range(r4):
            chosen = mixed[:, bond].movedim(1, 0).reshape(b1, -1)  # [b1, (r3, o1, i1)]
            x = (weights @ chosen).view(-1, outs.shape[1], inner_o * cols)  # [(r2, r3), o1, inner * i1]
            y = (left @ x.reshape(-1, inner_o * cols)).view(o2, ins.shape[1], inner_i)
            z = y.transpose(1, 2).reshape(-1, ins.shape[1]) @ ins[bond, :, :, r1].contiguous()
            total += z.view(o2, inner_i, -1).transpose(1, 2).reshape(o2, i2)
    return total
