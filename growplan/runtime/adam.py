"""AdamW's moments of a grown model, from those of its source, by the rules of `growplan.ir.moments`.

    m* = a b m[k, l]       v* = (a b)^2 v[k, l]       new slices: m = 0, v = the mean of v*

A tensor that is reset has no state: `torch.optim.AdamW` begins one at its first step. All others
inherit the step count of their source, which AdamW keeps per tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from growplan.ir.moments import Moved
from growplan.ir.slices import Axis


@dataclass(frozen=True)
class Moments:
    """The state of AdamW for one tensor: steps taken, running means of the gradient and of its square."""

    step: Tensor  # a scalar
    first: Tensor  # exp_avg, of the tensor's shape
    second: Tensor  # exp_avg_sq, of the tensor's shape


Read = Callable[[str], Moments | None]
"""The moments of a tensor of the source by its name on disk; None where AdamW has none of it yet."""


def grow_moments(rules: Mapping[str, Moved], read: Read) -> Iterator[tuple[str, Moments | None]]:
    """(tensor of the grown model, its moments or None where it is reset), one after the other."""
    for name, moved in rules.items():
        old = None if moved.source is None else read(moved.source)
        yield name, None if old is None else moved_by(moved, old)


def moved_by(moved: Moved, old: Moments) -> Moments:
    """The moments of one grown tensor; those of `old` themselves where nothing moves."""
    first, second = old.first, old.second
    known = torch.ones([1] * first.ndim, dtype=torch.bool, device=first.device)
    for dim, axis in enumerate(moved.axes):
        if axis == Axis.identity(first.shape[dim]):
            continue
        index, factor, copied = (x.to(first.device) for x in _along(axis))
        shape = [1] * first.ndim
        shape[dim] = -1
        by = factor.view(shape)
        first = first.index_select(dim, index) * by.to(first.dtype)
        second = second.index_select(dim, index) * by.square().to(second.dtype)
        known = known & copied.view(shape)
    if not bool(known.all()):
        second = _filled(second, known)
    return Moments(old.step.clone(), first, second)


def _along(axis: Axis) -> tuple[Tensor, Tensor, Tensor]:
    """For each new slice: the old slice, the factor on its gradient (0: none), and whether there is one."""
    index, factor, copied = list[Tensor](), list[Tensor](), list[Tensor]()
    for part in axis.parts:
        copy = part.kind == "copy"
        index.append(torch.arange(part.start, part.start + part.count) if copy else torch.zeros(part.count))
        factor.append(torch.full((part.count,), float(part.c) if copy else 0.0, dtype=torch.float64))
        copied.append(torch.full((part.count,), copy))
    return torch.cat([part.long() for part in index]), torch.cat(factor), torch.cat(copied)


def _filled(second: Tensor, known: Tensor) -> Tensor:
    """`second` with the mean of its known entries in the others; it is 0 in these."""
    everywhere = known.expand(second.shape)
    mean = second.sum(dtype=torch.float64) / int(everywhere.sum())
    return torch.where(everywhere, second, mean.to(second.dtype))
