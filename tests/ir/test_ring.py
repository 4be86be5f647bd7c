"""Tensor rings in the IR: types, and Mango's steps proved, printed and read back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from growplan.ir.graph import TensorType
from growplan.ir.primitives import CoreMatrix, Cut, Join, Pack, RingMap
from growplan.ir.typing import Mistype, result_type


def f32(*shape: int) -> TensorType:
    return TensorType(shape, "F32")


CORES = (f32(2, 3, 4, 3), f32(3, 2, 5, 1), f32(1, 2, 3, 4), f32(4, 3, 6, 2))
OLD = (f32(3, 4, 3), f32(3, 4, 3))  # a unit that is written is two slices


def test_types() -> None:
    assert result_type(RingMap(2, Cut(0, 4, 2)), CORES + OLD) == f32(20, 12)
    assert result_type(RingMap(2, Cut(1, 3, 1, True)), CORES + OLD) == f32(6, 30)
    assert result_type(Pack(2, 3, (Cut(0, 4, 2), Cut(1, 2))), (f32(4, 6), f32(5, 3))) == f32(6, 2, 3)
    assert result_type(Pack(2, 3, (Cut(0, 4, 2, True),)), (f32(6, 4),)) == f32(4, 2, 3)
    assert result_type(CoreMatrix(), CORES[:1]) == f32(4, 3)
    assert result_type(Join(1), (f32(2, 3), f32(2, 4))) == f32(2, 7)


def bad() -> Iterator[tuple[str, Any, tuple[TensorType, ...], str]]:
    s_b, s_o, s_l, s_i = CORES
    yield "no layers", RingMap(0, Cut(0, 1)), CORES, "each old layer"
    yield "a bond open", RingMap(0, Cut(0, 1)), (s_b, s_o, s_l, f32(3, 3, 6, 2), *OLD), "last bond of S_L"
    yield "the ring open", RingMap(0, Cut(0, 1)), (s_b, s_o, s_l, f32(4, 3, 6, 1), *OLD), "last bond of S_I"
    yield "no core", RingMap(0, Cut(0, 1)), (f32(3, 4), s_o, s_l, s_i, *OLD), "S_B is no core"
    yield "a layer too many", RingMap(0, Cut(0, 1)), (*CORES, *OLD, OLD[0]), "3 layers of 3 blocks"
    yield "a block too many", RingMap(0, Cut(0, 1)), (*CORES, *(f32(4, 4, 3),) * 2), "2 layers of 4 blocks"
    yield "half a unit", RingMap(0, Cut(0, 1)), (*CORES, *(f32(3, 5, 3),) * 2), "no whole units"
    yield "layers that differ", RingMap(0, Cut(0, 1)), (*CORES, OLD[0], f32(3, 4, 6)), "same blocks"
    yield "a layer past the last", RingMap(3, Cut(0, 1)), CORES + OLD, "no layer 3"
    yield "a block past the last", RingMap(0, Cut(2, 3)), CORES + OLD, "blocks up to 5"
    yield "no blocks", RingMap(0, Cut(0, 0)), CORES + OLD, "no grid"
    yield "no whole line", RingMap(0, Cut(0, 3, 2)), CORES + OLD, "no grid"
    yield "a cut too few", Pack(2, 3, (Cut(0, 1),)), (f32(2, 3), f32(2, 3)), "1 cuts for 2"
    yield "past the rows", Pack(2, 3, (Cut(1, 1),)), (f32(2, 3),), "has no 1 x 1 blocks"
    yield "other columns", Pack(2, 3, (Cut(0, 1),)), (f32(2, 6),), "has no 1 x 1 blocks"
    yield "two dtypes", Pack(2, 3, (Cut(0, 1),) * 2), (f32(2, 3), TensorType((2, 3), "BF16")), "one dtype"
    yield "of a vector", Pack(1, 3, (Cut(0, 1),)), (f32(3),), "matrices"
    yield "of nothing", Pack(0, 3, (Cut(0, 1),)), (f32(2, 3),), "hold nothing"
    yield "a matrix of a matrix", CoreMatrix(), (f32(2, 3),), "two bonds"
    yield "parts that differ", Join(0), (f32(2, 3), f32(2, 4)), "cannot follow"
    yield "along nothing", Join(2), (f32(2, 3),), "along 2"


@pytest.mark.parametrize(("op", "inputs", "reason"), [p[1:] for p in bad()], ids=[p[0] for p in bad()])
def test_mistypes(op: Any, inputs: tuple[TensorType, ...], reason: str) -> None:
    with pytest.raises(Mistype, match=reason):
        result_type(op, inputs)
