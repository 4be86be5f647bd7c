"""What a kernel may ask of its inputs: rows of the value, or a reduction of all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from growplan.backend.dtypes import arithmetic
from growplan.backend.rows import Rows, all_rows, as_index
from growplan.backend.sums import CHUNK_ROWS, tree_sum
from growplan.ir.graph import TensorType


@dataclass(frozen=True)
class Block:
    """The rows of the result that a kernel must make."""

    type: TensorType
    rows: Rows
    device: torch.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the arithmetic (not of the store)."""
        return arithmetic(self.type.dtype)


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of all elements of a value."""

    mean: float
    std: float


class Operand(Protocol):
    """One input of a kernel. Tensors it returns are shared: a kernel must not write to them."""

    @property
    def type(self) -> TensorType: ...

    def rows(self, rows: Rows) -> Tensor:
        """The given rows, in the arithmetic dtype."""

    def column_mean(self) -> Tensor:
        """Mean over dimension 0, float64."""

    def moments(self) -> Moments: ...


class Held:
    """An operand that is a tensor in memory."""

    def __init__(self, tensor: Tensor, dtype: str) -> None:
        self.type = TensorType(tuple(tensor.shape), dtype)
        self._tensor = tensor.to(arithmetic(dtype))

    def rows(self, rows: Rows) -> Tensor:
        if isinstance(rows, range):
            return self._tensor[rows.start : rows.stop]
        return self._tensor.index_select(0, as_index(rows, self._tensor.device))

    def column_mean(self) -> Tensor:
        return column_mean(self)

    def moments(self) -> Moments:
        return moments(self)


def column_mean(x: Operand) -> Tensor:
    """Mean over dimension 0 by trees of `CHUNK_ROWS` rows, added in index order."""
    total: Tensor | None = None
    for chunk in _chunks(x):
        part = tree_sum(chunk)
        total = part if total is None else total + part
    assert total is not None, "a mean of no rows"
    return total / x.type.shape[0]


def moments(x: Operand) -> Moments:
    """Mean and standard deviation over all elements, in one pass of fixed order.

    Deviations are taken from the mean of the first chunk, so that nothing cancels.
    """
    count = prod(x.type.shape)
    origin: float | None = None
    total = squares = 0.0
    for chunk in _chunks(x):
        off = chunk.to(torch.float64).flatten()
        if origin is None:
            origin = float(tree_sum(off)) / max(1, off.numel())
        off = off - origin
        total += float(tree_sum(off))
        squares += float(tree_sum(off.square_()))
    mean = total / count
    return Moments((origin or 0.0) + mean, max(0.0, squares / count - mean * mean) ** 0.5)


def _chunks(x: Operand) -> Iterator[Tensor]:
    end = all_rows(x.type.shape).stop
    for start in range(0, end, CHUNK_ROWS):
        yield x.rows(range(start, min(start + CHUNK_ROWS, end)))
