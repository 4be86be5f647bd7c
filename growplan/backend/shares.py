"""How the columns that read a unit are divided among its copies.

Own: each copy of an output reads its own copy of the input (arXiv 2203.06211). Uneven (LEMON's
alpha != beta, arXiv 2310.07999): going from the last copy to the first, a copy takes fl(s * rest)
in the stored dtype with s in [1/2, 1) and leaves rest - fl(s * rest), which Sterbenz' lemma makes
exact; the first copy gets what is left. So the stored shares of x sum to x exactly, and the copies
differ in every element.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import torch
from torch import Tensor

from growplan.algebra import Expansion
from growplan.backend.dtypes import torch_dtype
from growplan.backend.maps import gather_of
from growplan.backend.operands import Block, Operand
from growplan.backend.philox import Key, grid, upper_half
from growplan.backend.rows import as_index
from growplan.ir.primitives import SplitColumn

CHUNK_ELEMENTS = 1 << 16  # of the result at a time: the temporaries stay in cache


@dataclass(frozen=True, eq=False)
class Copies:
    """Copy positions by rank: `levels[t]` are the copies that are t-th from the last of their
    unit, as (position, unit), the first copies excepted, which stand in `first`."""

    first: tuple[Tensor, Tensor]
    levels: tuple[tuple[Tensor, Tensor], ...]
    holes: bool  # whether some rows are no copies

    def to(self, device: torch.device) -> Copies:
        """The same on a device."""
        (a, b), levels = self.first, self.levels
        moved = tuple((p.to(device), u.to(device)) for p, u in levels)
        return Copies((a.to(device), b.to(device)), moved, self.holes)


@lru_cache(maxsize=512)
def copies_of(e: Expansion) -> Copies:
    """The copies of every unit of `e` by rank, in order of position."""
    gather = gather_of(e)
    at = gather.copies.nonzero().flatten()
    order = torch.argsort(gather.units[at], stable=True)
    at = at[order]
    units = gather.units[at]
    counts = torch.tensor(e.counts, dtype=torch.int64)
    starts = counts.cumsum(0) - counts
    rank = torch.arange(units.numel()) - starts[units]
    from_last = counts[units] - 1 - rank
    levels = []
    for t in range(max(e.counts, default=1) - 1):
        here = (from_last == t) & (rank > 0)
        levels.append((at[here], units[here]))
    return Copies((at[rank == 0], units[rank == 0]), tuple(levels), not gather.complete)


def uneven_columns(e: Expansion, x: Tensor, dim: int, out: Block, key: Key) -> Tensor:
    """The shares along `dim` >= 1 of a block of whole rows, some rows at a time."""
    shape = (x.shape[0], *out.type.shape[1:])
    y = torch.empty(shape, dtype=x.dtype, device=x.device)
    inner = torch.arange(prod(shape[1:]), device=x.device).view(shape[1:])
    rows, copies = as_index(out.rows, x.device), copies_of(e).to(x.device)
    step = max(1, CHUNK_ELEMENTS // max(1, inner.numel()))
    for start in range(0, shape[0], step):
        here = slice(start, start + step)
        if copies.holes:
            y[here] = float("nan")
        _divide(copies, x[here].clone(), y[here], dim, rows[here], inner, out, key)
    return y


def _divide(
    copies: Copies, rest: Tensor, y: Tensor, dim: int, rows: Tensor, inner: Tensor, out: Block, key: Key
) -> None:
    """Write the shares of `rest` (used up) into `y`."""
    for position, unit in copies.levels:
        columns = inner.index_select(dim - 1, position).flatten()
        source = rest.index_select(dim, unit)
        share = _rounded(source, grid(key, rows, columns, inner.numel(), upper_half).view_as(source), out)
        y.index_copy_(dim, position, share)
        rest.index_copy_(dim, unit, source - share)
    position, unit = copies.first
    y.index_copy_(dim, position, rest.index_select(dim, unit))


def uneven_rows(e: Expansion, x: Operand, out: Block, key: Key) -> Tensor:
    """The shares along dimension 0 of any rows: every unit that they read is divided whole."""
    gather, copies = gather_of(e), copies_of(e)
    wanted, back = torch.unique(as_index(out.rows, torch.device("cpu")), return_inverse=True)
    units = torch.unique(gather.units[wanted[gather.copies[wanted]]])
    rest = x.rows(units.to(out.device)).clone()
    width = prod(out.type.shape[1:])
    y = torch.full((wanted.numel(), *out.type.shape[1:]), float("nan"), dtype=out.dtype, device=out.device)
    columns = torch.arange(width, device=out.device)
    for position, unit in copies.levels:
        mine = torch.isin(unit, units)
        position, local = position[mine], torch.searchsorted(units, unit[mine]).to(out.device)
        drawn = grid(key, position.to(out.device), columns, width, upper_half)
        source = rest.index_select(0, local)
        share = _rounded(source, drawn.view(source.shape), out)
        _place(y, wanted, position, share)
        rest.index_copy_(0, local, source - share)
    position, unit = copies.first
    mine = torch.isin(unit, units)
    local = torch.searchsorted(units, unit[mine]).to(out.device)
    _place(y, wanted, position[mine], rest.index_select(0, local))
    return y.index_select(0, back.to(out.device))


def own_shares(op: SplitColumn, x: Operand, out: Block) -> Tensor:
    """y[i, j] = x[i, unit of j] / c_j where row i and column j are copies of one rank, else 0.

    A row whose unit has one copy (or none) reads every copy of the unit evenly.
    """
    assert op.rows is not None
    gather, device = gather_of(op.map), out.device
    wanted = as_index(out.rows, torch.device("cpu"))
    columns = wanted if op.dim == 0 else torch.arange(op.map.size)
    rows = wanted if op.row_dim == 0 else torch.arange(op.rows.size)
    units, counts = gather.units[columns], torch.tensor(op.map.counts)
    y = x.rows(units.to(device)) if op.dim == 0 else x.rows(out.rows).index_select(op.dim, units.to(device))
    single = ~gather_of(op.rows.repeated).copies[rows]
    rank, mine = torch.tensor(op.rows.ranks)[rows], torch.tensor(op.map.ranks)[columns]
    own = (rank[:, None] % counts[units] == mine).to(torch.float64)
    share = torch.where(single[:, None], (1 / counts[units].to(torch.float64)).expand_as(own), own)
    if gather.scale is not None:
        share = share / gather.scale[columns]
    share[:, mine < 0] = float("nan")  # holes
    shape = [1] * y.ndim
    shape[op.row_dim], shape[op.dim] = share.shape
    share = share if op.row_dim == 0 else share.T
    return y * share.to(device, y.dtype).reshape(shape)


def _rounded(rest: Tensor, s: Tensor, out: Block) -> Tensor:
    """fl(s * rest) in the stored dtype, held in the arithmetic dtype."""
    return (rest * s.to(rest.dtype)).to(torch_dtype(out.type.dtype)).to(rest.dtype)


def _place(y: Tensor, wanted: Tensor, position: Tensor, values: Tensor) -> None:
    """Write the rows of `values` whose position is wanted; `wanted` is sorted."""
    if wanted.numel() == 0:
        return
    at = torch.searchsorted(wanted, position).clamp(max=wanted.numel() - 1)
    hit = wanted[at] == position
    y.index_copy_(0, at[hit].to(y.device), values[hit.to(y.device)])
