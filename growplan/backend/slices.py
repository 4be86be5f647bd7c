"""What kernels share: slices gathered by a map, found in a block, set to zero, multiplied."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from growplan.algebra import Expansion, Root
from growplan.backend.maps import gather_of, positions
from growplan.backend.operands import Block, Operand
from growplan.backend.rows import as_index
from growplan.ir.primitives import Ranges


def gathered(e: Expansion, dim: int, x: Operand, out: Block) -> Tensor:
    """The copy rows of E x along `dim`; the rest are holes."""
    gather = gather_of(e)
    if dim == 0:
        wanted = as_index(out.rows, torch.device("cpu"))
        units, copies = gather.units[wanted], gather.copies[wanted]
        scale = None if gather.scale is None else gather.scale[wanted]
        y = x.rows(units.to(out.device))
    else:
        units, copies, scale = gather.units, gather.copies, gather.scale
        y = x.rows(out.rows).index_select(dim, units.to(out.device))
    if scale is not None:
        y = y * along(scale, y, dim)
    if bool(copies.all()):
        return y
    rest = torch.full((e.size,), _hole(y), dtype=y.dtype)
    rest[positions(e, "zero")] = 0
    here = (~copies).nonzero().flatten()
    fill = along((rest[wanted] if dim == 0 else rest)[here], y, dim)
    here = here.to(out.device)
    y = y.clone() if dim == 0 else y  # along other dimensions y is this function's own
    return y.index_copy_(dim, here, fill.expand_as(y.index_select(dim, here)))


def along(values: Tensor, like: Tensor, dim: int) -> Tensor:
    """A 1-D tensor shaped to broadcast over every dimension of `like` but `dim`."""
    shape = [1] * like.ndim
    shape[dim] = -1
    return values.to(device=like.device, dtype=like.dtype).view(shape)


def inside(at: Ranges, out: Block) -> Tensor:
    """Which of the block's rows lie in `at`, as indices into the block."""
    rows = as_index(out.rows, out.device)
    hit = torch.zeros(rows.shape, dtype=torch.bool, device=out.device)
    for start, stop in at:
        hit |= (rows >= start) & (rows < stop)
    return hit.nonzero().flatten()


def ordinals(at: Ranges, rows: Tensor) -> Tensor:
    """Which slice of `at` each of `rows` is, all of them inside."""
    out, done = torch.zeros_like(rows), 0
    for start, stop in at:
        hit = (rows >= start) & (rows < stop)
        out[hit] = rows[hit] - start + done
        done += stop - start
    return out


def zeroed(dim: int, at: Iterable[tuple[int, int]], y: Tensor, out: Block) -> Tensor:
    """A copy of y with the slices `at` along `dim` zero."""
    y = y.clone()
    if dim == 0:
        y[inside(tuple(at), out)] = 0
        return y
    for start, stop in at:
        y.narrow(dim, start, stop - start).zero_()
    return y


def times(c: Root, x: Tensor) -> Tensor:
    """c x; x itself where c is one."""
    return x if c.is_one else x * torch.tensor(float(c), dtype=x.dtype, device=x.device)


def _hole(y: Tensor) -> float:
    return float("nan") if y.is_floating_point() else 0.0
