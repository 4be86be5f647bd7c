"""Bicubic interpolation of a grid of slices: torch's, term by term, so that the bits depend on no thread."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor

import torch
from torch import Tensor

A = -0.75  # the free parameter of cubic convolution, as torch takes it


def bicubic(x: Tensor, dim: int, kept: int, old: int, new: int) -> Tensor:
    """Slices `kept:` of x along `dim` are a grid [old, old]; returns [kept ; a grid [new, new]] in x's dtype.

    Equals `interpolate(size=(new, new), mode="bicubic", align_corners=False)` over the reals.
    """
    tokens, grid = x.narrow(dim, 0, kept), x.narrow(dim, kept, old * old)
    grid = grid.to(torch.float64).reshape(*x.shape[:dim], old, old, *x.shape[dim + 1 :])
    for side in (dim + 1, dim):
        grid = _along(grid, side, new)
    return torch.cat((tokens, grid.flatten(dim, dim + 1).to(x.dtype)), dim)


def _along(x: Tensor, dim: int, new: int) -> Tensor:
    """Each new slice from its four neighbours, added in order."""
    units, weights = zip(*taps(x.shape[dim], new), strict=True)
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    shape = [-1 if d == dim else 1 for d in range(x.ndim)]
    for tap in range(4):
        index = torch.tensor([unit[tap] for unit in units], device=x.device)
        weight = torch.tensor([w[tap] for w in weights], dtype=x.dtype, device=x.device)
        total = total + x.index_select(dim, index) * weight.view(shape)
    return total


def taps(old: int, new: int) -> Iterator[tuple[tuple[int, ...], tuple[float, ...]]]:
    """For each of `new` points: its four old neighbours (edges repeated) and their weights."""
    for i in range(new):
        at = (i + 0.5) * old / new - 0.5
        first = floor(at)
        t = at - first
        units = tuple(min(max(first + k, 0), old - 1) for k in (-1, 0, 1, 2))
        yield units, (_outer(1 + t), _inner(t), _inner(1 - t), _outer(2 - t))


def _inner(d: float) -> float:
    """The weight at a distance of at most 1."""
    return ((A + 2) * d - (A + 3)) * d * d + 1


def _outer(d: float) -> float:
    """The weight at a distance from 1 to 2."""
    return ((A * d - 5 * A) * d + 8 * A) * d - 4 * A
