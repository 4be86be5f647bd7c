"""Where slices come from, element by element: what can be asserted of a step that preserves nothing.

A copy is compared bit by bit. A tensor with a `BlockLaw` is made again from the tensors before the
step, by index and quotient in float64 and without the kernels, and every element is compared:

    new[i, j] = c_i old[g_out(i), g_in(j)] / (c_j C_in(j))        `old` of the layer above where grafted
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from growplan.algebra import Expansion
from growplan.backend.dtypes import UNIT_ROUNDOFF
from growplan.backend.evaluate import ModelView
from growplan.backend.interpolated import interpolated
from growplan.ir.graph import BlockLaw, Step

ROUNDINGS = 16
CHUNK_ELEMENTS = 1 << 22  # of a tensor in float64 at a time


@dataclass(frozen=True)
class Misplaced:
    """A tensor that is not made of the slices its step says; `where` names the first wrong element."""

    tensor: str
    source: str
    where: str = ""


def moved(step: Step, old: ModelView, new: ModelView) -> Iterator[Misplaced]:
    """Every tensor that is not the copy, or not made of the blocks, that its step says."""
    for entry in step.provenance:
        if entry.resample is not None:
            if not interpolated(entry.resample, old.get(entry.source), new.get(entry.tensor)):
                yield Misplaced(entry.tensor, entry.source, "the interpolated grid")
            continue
        if new.values[entry.tensor] == old.values[entry.source]:
            continue  # the same value of the graph
        if not bit_equal(new.get(entry.tensor), old.get(entry.source)):
            yield Misplaced(entry.tensor, entry.source)
    for law in step.laws:
        if isinstance(law, BlockLaw):
            yield from _misbuilt(law, old, new)


def bit_equal(a: Tensor, b: Tensor) -> bool:
    """Equal shape, dtype and bits; NaN equals itself."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))


def _misbuilt(law: BlockLaw, old: ModelView, new: ModelView) -> Iterator[Misplaced]:
    """The first element of a tensor that is not the one its law names, if there is one."""
    now, own = new.get(law.tensor), old.get(law.source)
    above = None if law.above is None else old.get(law.above.source)
    if now.shape != _grown_shape(law, own):
        yield Misplaced(law.tensor, law.source, f"its shape is {tuple(now.shape)}")
        return
    step = max(1, CHUNK_ELEMENTS // max(1, now[0].numel()))
    for start in range(0, now.shape[0], step):
        rows = torch.arange(start, min(start + step, now.shape[0]))
        expected = _rebuilt(law, own, rows)
        if law.above is not None and above is not None:
            hit = _grafted(law, now.shape, rows)
            expected = torch.where(hit.to(now.device), _rebuilt(law, above, rows), expected)
        wrong = ~_equal(now[start : start + step], expected)
        if wrong.any():
            index = (wrong.nonzero()[0].cpu() + torch.tensor([start] + [0] * (now.ndim - 1))).tolist()
            yield Misplaced(law.tensor, _source_of(law, index), f"element {index}")
            return


def _grown_shape(law: BlockLaw, old: Tensor) -> tuple[int, ...]:
    shape = list(old.shape)
    shape[law.row_dim] = law.rows.size
    if law.cols is not None and law.col_dim is not None:
        shape[law.col_dim] = law.cols.size
    return tuple(shape)


def _rebuilt(law: BlockLaw, old: Tensor, rows: Tensor) -> Tensor:
    """Rows of the tensor that the maps of a law make of `old`, in float64."""
    out = old
    sides = [(law.row_dim, *_index(law.rows))]
    if law.cols is not None and law.col_dim is not None:
        units, scale = _index(law.cols)
        counts = torch.tensor(law.cols.counts, dtype=torch.float64)
        sides.append((law.col_dim, units, 1 / (scale * counts[units])))
    for dim, units, factor in sides:
        units, factor = (units[rows], factor[rows]) if dim == 0 else (units, factor)
        shape = [1] * out.ndim
        shape[dim] = -1
        out = out.index_select(dim, units.to(old.device)).to(torch.float64)
        out = out * factor.to(old.device).view(shape)
    return out if any(dim == 0 for dim, _, _ in sides) else out[rows.to(old.device)]


@lru_cache(maxsize=64)
def _index(e: Expansion) -> tuple[Tensor, Tensor]:
    """(old unit, coefficient) of every row of a map of copies."""
    rows = list(e.rows())
    return torch.tensor([r.unit for r in rows]), torch.tensor([float(r.c) for r in rows], dtype=torch.float64)


def _grafted(law: BlockLaw, shape: tuple[int, ...], rows: Tensor) -> Tensor:
    """Whether an element is of the layer above: broadcasts over the rows of the tensor."""
    assert law.above is not None
    hit = torch.zeros(shape[law.above.dim], dtype=torch.bool)
    for start, stop in law.above.at:
        hit[start:stop] = True
    view = [1] * len(shape)
    view[law.above.dim] = -1
    return (hit[rows] if law.above.dim == 0 else hit).view(view)


def _equal(found: Tensor, expected: Tensor) -> Tensor:
    """Equal up to the roundings of a scale and a quotient; NaN equals itself."""
    now = found.to(torch.float64)
    close = (now - expected).abs() <= ROUNDINGS * UNIT_ROUNDOFF.get(found.dtype, 0.0) * expected.abs()
    return close | (now == expected) | (now.isnan() & expected.isnan())


def _source_of(law: BlockLaw, index: list[int]) -> str:
    above = law.above
    grafted = above is not None and any(a <= index[above.dim] < b for a, b in above.at)
    return above.source if above is not None and grafted else law.source
