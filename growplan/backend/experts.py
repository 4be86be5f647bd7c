"""Experts that differ: units chosen and drawn again, and noise (Drop-Upcycling, arXiv 2502.19261)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import torch
from torch import Tensor

from growplan.backend.operands import Block, Operand
from growplan.backend.philox import grid, key_of, normal, words
from growplan.backend.rows import as_index
from growplan.ir.primitives import AddNoise, DropUnits, SampleUnits


@lru_cache(maxsize=64)
def chosen_units(key: str, units: int, count: int) -> Tensor:
    """The `count` of `units` with the smallest words of `key`, in order; the first of equal words."""
    drawn = words(key_of(key), 0, units)
    return torch.argsort(drawn, stable=True)[:count].sort().values


def sample_units(op: SampleUnits, inputs: Sequence[Operand], out: Block) -> Tensor:
    """The chosen slices in order."""
    x = inputs[0]
    chosen = chosen_units(op.key, x.type.shape[op.dim], op.count)
    if op.dim == 0:
        return x.rows(chosen[as_index(out.rows, torch.device("cpu"))].to(out.device))
    return x.rows(out.rows).index_select(op.dim, chosen.to(out.device))


def drop_units(op: DropUnits, inputs: Sequence[Operand], out: Block) -> Tensor:
    """y[S] = mean + std * normal(key, element), S and its moments those of `sample_units`."""
    y, drawn = inputs[0].rows(out.rows).clone(), inputs[1].moments()
    chosen = chosen_units(op.units, out.type.shape[op.dim], op.count).to(out.device)
    flat = y.view(y.shape[0], prod(y.shape[1:]))
    rows, columns = as_index(out.rows, out.device), torch.arange(flat.shape[1], device=out.device)

    def finish(word: Tensor) -> Tensor:
        return (normal(word) * drawn.std + drawn.mean).to(y.dtype)

    if op.dim == 0:
        at = torch.isin(rows, chosen).nonzero().flatten()
        flat[at] = grid(key_of(op.key), rows[at], columns, flat.shape[1], finish)
    else:
        some = columns.view(y.shape[1:]).index_select(op.dim - 1, chosen).flatten()
        flat[:, some] = grid(key_of(op.key), rows, some, flat.shape[1], finish)
    return y


def add_noise(op: AddNoise, inputs: Sequence[Operand], out: Block) -> Tensor:
    """x + std * normal(key, element), added in float64 and rounded once."""
    x = inputs[0].rows(out.rows)
    flat = x.reshape(x.shape[0], prod(x.shape[1:]))
    columns = torch.arange(flat.shape[1], device=out.device)
    drawn = grid(key_of(op.key), as_index(out.rows, out.device), columns, flat.shape[1], normal)
    return (flat + drawn * op.std).to(x.dtype).view(x.shape)
