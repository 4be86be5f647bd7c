"""Null terms: noise on the copies of a unit that cancels where they are read together.

Every draw is keyed by the element of the new tensor it stands on. Sums over the copies go from
the first copy to the last in float64, so that a block of rows has the bits of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal
from functools import lru_cache
from itertools import pairwise
from math import prod, sqrt

import torch
from torch import Tensor

from growplan.algebra import Expansion
from growplan.backend.maps import gather_of
from growplan.backend.operands import Block, Moments, Operand
from growplan.backend.philox import grid, key_of, normal
from growplan.backend.rows import as_index
from growplan.backend.shares import CHUNK_ELEMENTS
from growplan.ir.primitives import AddNull

Draw = Callable[[Tensor], Tensor]  # positions along the axis -> standard normals on their slices
Level = tuple[Tensor, Tensor]  # positions of the t-th copies, and the units they copy, in order


def add_null(op: AddNull, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y + N; `ir.primitives.AddNull` says what N is."""
    y, std = inputs[0].rows(out.rows).clone(), deviation(op, inputs[1].moments())
    levels = [(p.to(out.device), u.to(out.device)) for p, u in levels_of(op.map)]
    if op.dim == 0:
        _add_rows(op, levels, std, y, out)
    else:
        _add_columns(op, levels, std, y, out)
    return y


def deviation(op: AddNull, x: Moments) -> float:
    """The standard deviation of R; for `snr` of a unit with one copy."""
    name, _, number = op.scale.rstrip(")").partition("(")
    match name:
        case "like":
            return x.std * float(number or 1)
        case "normal":
            return float(number)
        case "snr":
            return sqrt(x.mean * x.mean + x.std * x.std) * amplitude(number)
    raise ValueError(f"scale is like, like(f), normal(std) or snr(dB), not {op.scale}")


def amplitude(decibels: str) -> float:
    """10^(-dB/20): noise beside a signal of 1. In decimals, so that no libm can differ."""
    exact = Context(prec=30)
    return float(exact.power(Decimal(10), exact.divide(-Decimal(decibels), Decimal(20))))


@lru_cache(maxsize=512)
def levels_of(e: Expansion) -> tuple[Level, ...]:
    """The copies of the units that have several, by rank among the copies of their unit."""
    gather = gather_of(e.repeated)
    at = gather.copies.nonzero().flatten()
    at = at[torch.argsort(gather.units[at], stable=True)]
    units, counts = torch.unique_consecutive(gather.units[at], return_counts=True)
    starts = counts.cumsum(0) - counts
    levels = []
    for t in range(e.most_copies):
        here = counts > t
        levels.append((at[starts[here] + t], units[here]))
    return tuple(levels)


def _add_columns(op: AddNull, levels: list[Level], std: float, y: Tensor, out: Block) -> None:
    """Whole rows, some at a time."""
    inner = torch.arange(prod(y.shape[1:]), device=y.device).view(y.shape[1:])
    rows, key = as_index(out.rows, y.device), key_of(op.key)
    step = max(1, CHUNK_ELEMENTS // max(1, inner.numel()))
    for start in range(0, y.shape[0], step):
        some, part = rows[start : start + step], y[start : start + step]

        def draw(positions: Tensor, some: Tensor = some, part: Tensor = part) -> Tensor:
            columns = inner.index_select(op.dim - 1, positions)
            return grid(key, some, columns.flatten(), inner.numel(), normal).view(len(part), *columns.shape)

        for positions, noise in terms(op, levels, std, draw):
            sums = part.index_select(op.dim, positions) + noise.to(part.dtype)
            part.index_copy_(op.dim, positions, sums)


def _add_rows(op: AddNull, levels: list[Level], std: float, y: Tensor, out: Block) -> None:
    """Any rows: the other copies of their units are drawn with them."""
    wanted = as_index(out.rows, y.device)
    units = gather_of(op.map.repeated).units.to(y.device)[wanted]
    mine = [(p[hit], u[hit]) for p, u in levels if (hit := torch.isin(u, units)).any()]
    width, key = prod(y.shape[1:]), key_of(op.key)
    columns = torch.arange(width, device=y.device)

    def draw(positions: Tensor) -> Tensor:
        return grid(key, positions, columns, width, normal).view(len(positions), *y.shape[1:])

    for positions, noise in terms(op, mine, std, draw):
        order = torch.argsort(positions)
        place = torch.searchsorted(positions[order], wanted).clamp(max=len(positions) - 1)
        here = (positions[order][place] == wanted).nonzero().flatten()
        y[here] += noise.index_select(0, order[place[here]]).to(y.dtype)


def terms(op: AddNull, levels: Sequence[Level], std: float, draw: Draw) -> Iterator[tuple[Tensor, Tensor]]:
    """(positions, N on their slices) of every copy that gets noise; slices lie along `op.dim`."""
    if op.pairing == "paired":
        for (first, owners), (second, units) in list(pairwise(levels))[::2]:
            first = first[torch.isin(owners, units)]
            drawn = draw(first)
            yield first, drawn * _scale(op, first, std, drawn)
            yield second, -drawn * _scale(op, second, std, drawn)
        return
    if op.pairing not in ("centred", "first"):
        raise ValueError(f"noise is centred, first or paired, not {op.pairing}")
    draws = [draw(positions) for positions, _ in levels]
    if not draws:
        return
    total, owners = draws[0].clone(), levels[0][1]
    if op.pairing == "first":
        total.zero_()
    places = [torch.searchsorted(owners, units) for _, units in levels]
    for drawn, place in zip(draws[1:], places[1:], strict=True):
        total.index_copy_(op.dim, place, total.index_select(op.dim, place) + drawn)
    if op.pairing == "first":
        draws[0] = -total
        total = torch.zeros_like(total)
    counts = torch.tensor(op.map.counts, dtype=torch.float64, device=total.device)[owners]
    mean = total / _along(counts, total, op.dim)
    for (positions, _), drawn, place in zip(levels, draws, places, strict=True):
        yield positions, (drawn - mean.index_select(op.dim, place)) * _scale(op, positions, std, drawn)


def _scale(op: AddNull, positions: Tensor, std: float, like: Tensor) -> Tensor:
    """std / c, and / copies for `snr`, for each position."""
    gather = gather_of(op.map)
    at = positions.cpu()
    scale = torch.full((len(at),), std, dtype=torch.float64)
    if op.scale.startswith("snr"):
        scale = scale / torch.tensor(op.map.counts, dtype=torch.float64)[gather.units[at]]
    if gather.scale is not None:
        scale = scale / gather.scale[at]
    return _along(scale, like, op.dim)


def _along(values: Tensor, like: Tensor, dim: int) -> Tensor:
    shape = [1] * like.ndim
    shape[dim] = -1
    return values.to(like.device, like.dtype).view(shape)
