"""Which rows of a tensor (slices along dimension 0) are wanted: a range, or a list of indices.

A tensor larger than the memory budget is evaluated one block of rows at a time; a kernel is
told the rows it must make and asks its operands for the rows it needs.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

Rows = range | Tensor  # a contiguous range, or 1-D int64 indices

MANY_PIECES = 64


def all_rows(shape: tuple[int, ...]) -> range:
    """Every row of a tensor of this shape; a scalar has one."""
    return range(shape[0] if shape else 1)


def as_index(rows: Rows, device: torch.device) -> Tensor:
    """The rows as an int64 tensor."""
    if isinstance(rows, range):
        return torch.arange(rows.start, rows.stop, device=device)
    return rows.to(device)


def pieces(index: Tensor) -> Iterator[range]:
    """The maximal runs of consecutive indices, in order."""
    if index.numel() == 0:
        return
    breaks = (index[1:] != index[:-1] + 1).nonzero().flatten() + 1
    edges = [0, *breaks.tolist(), index.numel()]
    first = index[edges[:-1]].tolist()
    for start, low, high in zip(first, edges, edges[1:], strict=False):
        yield range(start, start + high - low)
