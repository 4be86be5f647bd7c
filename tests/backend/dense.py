"""Dense float64 oracles: expansions as matrices, primitives as matrix products."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from growplan.algebra import Expansion, Root, Run
from growplan.backend.operands import Block, Held
from growplan.backend.rows import Rows, all_rows
from growplan.ir.graph import TensorType

CPU = torch.device("cpu")


def matrix(e: Expansion) -> Tensor:
    """E with zero rows for zero, free and hole."""
    out = torch.zeros(e.size, e.old, dtype=torch.float64)
    for i, row in enumerate(e.rows()):
        if row.kind == "copy":
            out[i, row.unit] = float(row.c)
        elif row.kind == "mean":
            out[i, :] = float(row.c) / e.old
    return out


def random(shape: tuple[int, ...], dtype: str = "F64", seed: int = 0) -> Tensor:
    """Normals in the stored dtype."""
    from growplan.backend.dtypes import torch_dtype

    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(torch_dtype(dtype))


def held(*tensors: Tensor, dtype: str = "F64") -> list[Held]:
    return [Held(t, dtype) for t in tensors]


def block(shape: tuple[int, ...], dtype: str = "F64", rows: Rows | None = None) -> Block:
    return Block(TensorType(shape, dtype), all_rows(shape) if rows is None else rows, CPU)


ROOTS = st.sampled_from([Root(), Root.rational(2), Root.rational(-1) / Root.rational(3)])


@st.composite
def copy_maps(draw: st.DrawFn, *, holes: bool = True, scaled: bool = True) -> Expansion:
    """Maps of copy and hole rows in which every unit has a copy."""
    old = draw(st.integers(1, 6))
    units = list(range(old)) + draw(st.lists(st.integers(0, old - 1), max_size=8))
    runs = [Run("copy", 1, u, draw(ROOTS) if scaled else Root()) for u in draw(st.permutations(units))]
    for _ in range(draw(st.integers(0, 3)) if holes else 0):
        runs.insert(draw(st.integers(0, len(runs))), Run("hole", 1))
    return Expansion(old, tuple(runs))
