"""Tensor rings against one numpy einsum: kernels, and the differentiable rules beside them.

M2[l2, b2, o2, i2] = sum of S_B[r1, b1, b2, r2] S_O[r2, o1, o2, r3] S_L[r3, l1, l2, r4] S_I[r4, i1, i2, r1]
M1[l1, b1, o1, i1]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from growplan.backend.ring import core_matrix, join, pack, ring_map
from growplan.ir.graph import TensorType
from growplan.ir.primitives import CoreMatrix, Cut, Join, Pack, RingMap
from growplan.ir.typing import result_type
from growplan.learn import ring
from tests.backend.dense import block, held, random

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Ring:
    """A random ring: (old, new) of blocks, outputs, layers and inputs, the bonds, slices of a unit."""

    blocks: tuple[int, int] = (3, 4)
    outs: tuple[int, int] = (4, 5)
    layers: tuple[int, int] = (2, 3)
    ins: tuple[int, int] = (3, 6)
    bonds: tuple[int, int, int, int] = (1, 1, 1, 1)
    inner: tuple[int, int] = (1, 1)

    def cores(self, dtype: str = "F64") -> list[Tensor]:
        sizes = (self.blocks, self.outs, self.layers, self.ins)
        ends = zip(self.bonds, (*self.bonds[1:], self.bonds[0]), strict=True)
        shapes = [(first, *size, last) for (first, last), size in zip(ends, sizes, strict=True)]
        return [random(shape, dtype, seed) for seed, shape in enumerate(shapes)]

    def old(self, dtype: str = "F64") -> list[Tensor]:
        """The blocks of each old layer."""
        shape = (self.blocks[0], self.outs[0] * self.inner[0], self.ins[0] * self.inner[1])
        return [random(shape, dtype, 10 + layer) for layer in range(self.layers[0])]


def summed(cores: list[Tensor], old: list[Tensor], inner: tuple[int, int] = (1, 1)) -> Array:
    """M2 [l2, b2, o2, i2] by one sum over everything; a unit is `inner` slices."""
    s_b, s_o, s_l, s_i = (core.double().numpy() for core in cores)
    m = np.stack([x.double().numpy() for x in old])
    split = m.reshape(*m.shape[:2], s_o.shape[1], inner[0], s_i.shape[1], inner[1])
    made = np.einsum("abcd,defg,ghij,jkla,hbexky->icfxly", s_b, s_o, s_l, s_i, split)
    return made.reshape(*made.shape[:2], s_o.shape[2] * inner[0], s_i.shape[2] * inner[1])


RINGS = {
    "one bond": Ring(),
    "two bonds": Ring(bonds=(2, 2, 2, 2)),
    "bonds of four sizes": Ring(bonds=(2, 3, 1, 4)),
    "nothing grows": Ring((4, 4), (3, 3), (2, 2), (3, 3), bonds=(3, 3, 3, 3)),
    "whole heads written": Ring(bonds=(2, 1, 2, 1), inner=(2, 1)),
    "whole heads read": Ring(bonds=(2, 2, 2, 2), inner=(1, 3)),
    "whole heads on both sides": Ring(bonds=(1, 2, 3, 2), inner=(2, 3)),
}
CUTS = [Cut(0, 4), Cut(1, 3), Cut(0, 4, 2), Cut(0, 4, 4, True), Cut(2, 2, 1, True), Cut(0, 4, 2, True)]


def matrix_of(blocks: Array, cut: Cut) -> Array:
    """The blocks of a cut as one matrix, as it is stored."""
    lines = [blocks[first : first + cut.across] for first in range(cut.start, cut.stop, cut.across)]
    whole = np.concatenate([np.concatenate(list(line), 1) for line in lines], 0)
    return whole.T if cut.transposed else whole


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("dtype", ["F64", "F32", "BF16"])
@pytest.mark.parametrize("name", RINGS)
def test_a_ring_is_the_sum(name: str, dtype: str, cut: Cut) -> None:
    """The kernel and the differentiable rule; any rows have the bits of the whole."""
    made = RINGS[name]
    cores, old = made.cores("F64" if dtype == "F64" else "F32"), made.old(dtype)
    operands = [*held(*cores, dtype="F64"), *held(*old, dtype=dtype)]
    new = summed(cores, old, made.inner)
    for layer in range(made.layers[1]):
        op, expected = RingMap(layer, cut), matrix_of(new[layer], cut)
        shape = tuple(expected.shape)
        assert result_type(op, tuple(x.type for x in operands)) == TensorType(shape, dtype)
        whole, scale = ring_map(op, operands, block(shape, dtype)), 1 + abs(expected).max()
        near = {"rtol": 0, "atol": (1e-13 if dtype == "F64" else 1e-6) * scale}
        np.testing.assert_allclose(whole.double().numpy(), expected, **near)
        for step in (1, 3):
            rows = [range(at, min(at + step, shape[0])) for at in range(0, shape[0], step)]
            assert torch.equal(
                torch.cat([ring_map(op, operands, block(shape, dtype, r)) for r in rows]), whole
            )
        some = torch.randperm(shape[0], generator=torch.Generator().manual_seed(0))[:5]
        assert torch.equal(ring_map(op, operands, block(shape, dtype, some)), whole[some])
        rule = ring.ring_map(op, [x.double() for x in (*cores, *old)])
        np.testing.assert_allclose(rule.numpy(), expected, rtol=0, atol=1e-13 * scale)
        s_b, s_o, s_l, s_i = (core.double() for core in cores)
        every = ring.all_layers(s_b, s_o, s_l, s_i, torch.stack(old).double())
        together = ring.cut_of(cut, every[layer])
        np.testing.assert_allclose(together.numpy(), expected, rtol=0, atol=1e-13 * scale)


@pytest.mark.parametrize("name", RINGS)
def test_a_ring_has_the_gradient_of_what_it_computes(name: str) -> None:
    made, op = RINGS[name], RingMap(1, Cut(1, 2, 2, True))
    inputs = [x.requires_grad_() for x in (*made.cores(), *made.old())]
    assert torch.autograd.gradcheck(lambda *given: ring.ring_map(op, given), inputs)


def test_one_bond_of_identities_is_the_source() -> None:
    """S_B = S_O = S_L = S_I = I: block b of layer l, bit for bit."""
    old = [random((3, 4, 5), "F32", seed) for seed in range(2)]
    cores = [torch.eye(n)[None, :, :, None] for n in (3, 4, 2, 5)]
    for layer, x in enumerate(old):
        operands = held(*cores, *old, dtype="F32")
        assert torch.equal(ring_map(RingMap(layer, Cut(1, 1)), operands, block((4, 5), "F32")), x[1])


# blocks --------------------------------------------------------------------------------------------


def test_blocks_of_a_layer() -> None:
    """A fused projection stored inputs first, two rows of blocks side by side, a part of a matrix."""
    fused, wide, part = random((3, 6), seed=1), random((4, 6), seed=2), random((7, 3), seed=3)
    op = Pack(2, 3, (Cut(0, 3, 1, True), Cut(0, 4, 2), Cut(3, 2)))
    operands = held(fused, wide, part)
    assert result_type(op, tuple(x.type for x in operands)) == TensorType((9, 2, 3), "F64")
    whole = pack(op, operands, block((9, 2, 3)))
    expected = [fused.T[0:2], fused.T[2:4], fused.T[4:6]]
    expected += [wide[0:2, 0:3], wide[0:2, 3:6], wide[2:4, 0:3], wide[2:4, 3:6], part[3:5], part[5:7]]
    assert torch.equal(whole, torch.stack(expected))
    for rows in (range(2, 5), range(8, 9), range(3, 3), torch.tensor([8, 0, 3])):
        index = torch.tensor(list(rows), dtype=torch.int64)
        assert torch.equal(pack(op, operands, block((9, 2, 3), rows=rows)), whole[index])


def test_a_ring_puts_back_what_pack_took() -> None:
    x = random((4, 6), "F32")
    packed = pack(Pack(2, 3, (Cut(0, 4, 2),)), held(x, dtype="F32"), block((4, 2, 3), "F32"))
    cores = [torch.eye(n)[None, :, :, None] for n in (4, 2, 1, 3)]
    operands = held(*cores, packed, dtype="F32")
    assert torch.equal(ring_map(RingMap(0, Cut(0, 4, 2)), operands, block((4, 6), "F32")), x)


def test_the_matrix_of_a_core() -> None:
    core = random((2, 3, 4, 2))
    expected = core[0, :, :, 0].T
    assert torch.equal(core_matrix(CoreMatrix(), held(core), block((4, 3))), expected)
    assert torch.equal(core_matrix(CoreMatrix(), held(core), block((4, 3), rows=range(1, 3))), expected[1:3])
    assert torch.equal(ring.core_matrix(CoreMatrix(), [core]), expected)
    assert torch.autograd.gradcheck(lambda x: ring.core_matrix(CoreMatrix(), [x]), core.requires_grad_())


@pytest.mark.parametrize("dim", [0, 1])
def test_parts_are_joined(dim: int) -> None:
    parts = [random((3, 4) if dim else (4, 3), seed=1), random((3, 2) if dim else (2, 3), seed=2)]
    expected = torch.cat(parts, dim)
    shape = tuple(expected.shape)
    assert torch.equal(join(Join(dim), held(*parts), block(shape)), expected)
    some = torch.tensor([2, 0])
    assert torch.equal(join(Join(dim), held(*parts), block(shape, rows=some)), expected[some])
    assert torch.equal(ring.join(Join(dim), parts), expected)
