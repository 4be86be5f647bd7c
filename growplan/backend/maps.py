"""Expansions as index tensors, for weights (gather) and for activations (apply)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from growplan.algebra import ONE, Expansion, Root, Run


@dataclass(frozen=True, eq=False)
class Gather:
    """The copy rows of an expansion as tensors on the CPU.

    `units[i]` is the old unit of new unit i (0 where there is none), `scale` the coefficients
    in float64 (None: all one), `copies` the new units that are copies.
    """

    units: Tensor
    scale: Tensor | None
    copies: Tensor  # bool

    @property
    def complete(self) -> bool:
        """Whether every row is a copy."""
        return bool(self.copies.all())


@lru_cache(maxsize=512)
def gather_of(e: Expansion) -> Gather:
    """The copy rows of `e` as tensors."""
    units = torch.zeros(e.size, dtype=torch.int64)
    scale = torch.ones(e.size, dtype=torch.float64)
    copies = torch.zeros(e.size, dtype=torch.bool)
    at = 0
    for run in e.runs:
        if run.kind == "copy":
            units[at : at + run.count] = torch.arange(run.start, run.start + run.count)
            scale[at : at + run.count] = float(run.c)
            copies[at : at + run.count] = True
        at += run.count
    plain = e.scales <= {ONE}
    return Gather(units, None if plain else scale, copies)


def positions(e: Expansion, kind: str) -> Tensor:
    """Indices of the rows of `kind`."""
    parts = [torch.arange(a, b) for a, b in e.positions(kind)]  # type: ignore[arg-type]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64)


def apply(e: Expansion, x: Tensor, free: Tensor | None = None) -> Tensor:
    """E x over the last dimension: `[..., n] -> [..., n*]`.

    Free rows take the values of `free` (`[..., n*]`), or 0. Holes are not allowed.
    """
    if e.is_identity:
        return x
    gather = gather_of(e)
    y = x.index_select(-1, gather.units.to(x.device))
    if gather.scale is not None:
        y = y * gather.scale.to(x)
    if not gather.complete:
        y = y.masked_fill(~gather.copies.to(x.device), 0.0)
    at = 0
    for run in e.runs:
        here = slice(at, at + run.count)
        if run.kind == "mean":
            y[..., here] = float(run.c) * x.mean(-1, keepdim=True)
        elif run.kind == "free" and free is not None:
            y[..., here] = free[..., here]
        elif run.kind == "hole":
            raise ValueError("an expansion with holes has no values")
        at += run.count
    return y


def determined(e: Expansion) -> Tensor:
    """Bool per new unit: not free, so the law says what it must be."""
    out = torch.ones(e.size, dtype=torch.bool)
    out[positions(e, "free")] = False
    return out


@lru_cache(maxsize=512)
def magnitude(e: Expansion) -> Expansion:
    """|E|: the same map with the sizes of its coefficients; free rows give 0."""
    runs = (Run("zero" if r.kind == "free" else r.kind, r.count, r.start, Root(r.c.square)) for r in e.runs)
    return Expansion(e.old, tuple(runs))
