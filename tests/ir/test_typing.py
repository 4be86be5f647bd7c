"""The type rule of every primitive: what it accepts and what it refuses, with its reason."""

from __future__ import annotations

import pytest

from growplan.algebra import Expansion, Root
from growplan.ir.graph import TensorType
from growplan.ir.primitives import (
    AddNoise,
    AddNull,
    CopyLayer,
    CopyTensor,
    DropUnits,
    DuplicateRow,
    Fill,
    Fresh,
    FromLeaf,
    Graft,
    Leaf,
    LnAverage,
    Load,
    Mask,
    Primitive,
    Resample,
    RescaleNorm,
    SampleUnits,
    Scale,
    SplitColumn,
    Store,
    ZeroOut,
)
from growplan.ir.typing import Mistype, result_type
from tests.ir.builder import E


def f32(*shape: int) -> TensorType:
    return TensorType(shape, "F32")


MAP = E(4, ("copy", 4), ("hole", 2))
TWICE = E(4, ("copy", 4), ("copy", 4))
AT = ((4, 6),)


@pytest.mark.parametrize(
    ("op", "inputs", "result"),
    [
        (Load("w"), (), None),
        (CopyLayer(0, 3), (f32(4),), f32(4)),
        (CopyTensor("e.0.w", "e.1.w"), (f32(4),), f32(4)),
        (SampleUnits(1, 2, "u"), (f32(4, 6),), f32(4, 2)),
        (DropUnits(1, 2, "u", "k"), (f32(4, 6), f32(4, 2)), f32(4, 6)),
        (AddNoise(0, 0.1, "k"), (f32(4, 6),), f32(4, 6)),
        (DuplicateRow(1, MAP), (f32(3, 4),), f32(3, 6)),
        (DuplicateRow(0, MAP), (f32(4, 3, 2),), f32(6, 3, 2)),
        (SplitColumn(0, E(4, ("copy", 4), ("copy", 3)), "uneven", "k"), (f32(4, 3),), f32(7, 3)),
        (LnAverage(0, AT, Root()), (f32(6, 3), f32(4, 3)), f32(6, 3)),
        (ZeroOut(1, ((0, 1), (2, 3))), (f32(2, 3),), f32(2, 3)),
        (Fill(Root()), (f32(6),), f32(6)),
        (Fresh(0, AT, "like", "k"), (f32(6), f32(4)), f32(6)),
        (Fresh(0, AT, "normal(2e-2)", "k"), (f32(6), f32(4)), f32(6)),
        (AddNull(1, TWICE, "centred", "snr(20)", "k"), (f32(3, 8), f32(3, 4)), f32(3, 8)),
        (AddNull(0, TWICE, "paired", "normal(0.1)", "k"), (f32(8), f32(2)), f32(8)),
        (Leaf("s/w", (2, 3), "F32"), (), f32(2, 3)),
        (Leaf("R", (4, 4), "BF16", "trainable"), (), TensorType((4, 4), "BF16")),
        (FromLeaf(0, AT), (f32(6, 3), f32(2, 3)), f32(6, 3)),
        (FromLeaf(1, ((0, 1), (2, 4))), (f32(2, 4), f32(2, 3)), f32(2, 4)),
        (Mask(0, AT, "heads", 100), (f32(6),), f32(6)),
        (Graft(1, AT), (f32(2, 6), f32(2, 6)), f32(2, 6)),
        (Resample(1, 1, 3, 5), (f32(1, 10, 4),), f32(1, 26, 4)),
        (Resample(0, 0, 2, 1), (f32(4),), f32(1)),
        (Scale(Root.rational(2)), (f32(6),), f32(6)),
        (RescaleNorm(Root.rational(2)), (f32(6),), f32(6)),
        (Store("w"), (TensorType((2,), "BF16"),), TensorType((2,), "BF16")),
    ],
)
def test_accepts(op: Primitive, inputs: tuple[TensorType, ...], result: TensorType | None) -> None:
    assert result_type(op, inputs) == result


@pytest.mark.parametrize(
    ("op", "inputs", "reason"),
    [
        (CopyLayer(0, 1), (), "takes 1 inputs, has 0"),
        (Leaf("", (2,), "F32"), (), "a leaf needs a name"),
        (Leaf("w", (2,), "F32", "guess"), (), "a leaf is `data` or `trainable`, not `guess`"),
        (Leaf("w", (2, 0), "F32"), (), "a leaf has slices, not the shape [2, 0]"),
        (Leaf("w", (2,), "F32"), (f32(2),), "takes 0 inputs, has 1"),
        (FromLeaf(0, AT), (f32(6, 3), f32(3, 3)), "2 slices from a leaf that has 3"),
        (FromLeaf(0, AT), (f32(6, 3), f32(2, 4)), "the slices of f32[2, 4] have another shape"),
        (
            FromLeaf(0, AT),
            (f32(6, 3), TensorType((2, 3), "F16")),
            "the slices of f16[2, 3]",
        ),
        (FromLeaf(0, ((4, 7),)), (f32(6, 3), f32(3, 3)), "slices up to 7"),
        (Load("w"), (f32(1),), "takes 0 inputs, has 1"),
        (CopyLayer(-1, 1), (f32(1),), "layers are counted from 0"),
        (CopyTensor("w", "w"), (f32(1),), "a copy has a name of its own"),
        (SampleUnits(0, 5, "u"), (f32(4, 6),), "cannot choose 5 slices of dim 0 of f32[4, 6]"),
        (SampleUnits(0, 2, ""), (f32(4, 6),), "a choice needs a key"),
        (DropUnits(0, 2, "u", "k"), (f32(4, 6), f32(3, 6)), "f32[3, 6] is not what it replaces of f32[4, 6]"),
        (DropUnits(0, 2, "u", "u"), (f32(4, 6), f32(2, 6)), "a draw needs a key of its own"),
        (AddNoise(0, 0.0, "k"), (f32(4),), "noise has a positive deviation and a key"),
        (DuplicateRow(2, MAP), (f32(3, 4),), "f32[3, 4] has no dim 2"),
        (DuplicateRow(0, MAP), (f32(3, 4),), "the map reads 4 slices, dim 0 of f32[3, 4] has 3"),
        (DuplicateRow(0, E(4, ("copy", 4), ("mean", 2))), (f32(4),), "the map has rows of kind mean"),
        (
            SplitColumn(0, MAP, "halves"),
            (f32(4),),
            "shares are `even`, `uneven`, `first` or `own`, not `halves`",
        ),
        (SplitColumn(0, TWICE, "own"), (f32(4, 8),), "`own` shares, and no others, need the map"),
        (SplitColumn(0, TWICE, "even", rows=TWICE), (f32(4, 8),), "`own` shares, and no others, need the"),
        (
            SplitColumn(0, TWICE, "own", rows=TWICE),
            (f32(4, 6),),
            "the other map makes 8 slices of copies, dim 1",
        ),
        (SplitColumn(0, TWICE, "own", rows=TWICE), (f32(4),), "f32[4] has no dim 1"),
        (SplitColumn(0, MAP, "uneven"), (f32(4),), "uneven shares are drawn, which needs a key"),
        (
            SplitColumn(0, E(4, ("copy", 3)), "even"),
            (f32(4),),
            "unit 3 has no copy",
        ),
        (LnAverage(0, AT, Root()), (f32(6, 3), f32(4, 2)), "the slices of f32[4, 2] have another shape than"),
        (LnAverage(0, AT, Root.rational(0)), (f32(6), f32(4)), "a mean times 0 is `zero_out`"),
        (ZeroOut(0, ()), (f32(6),), "names no slices"),
        (ZeroOut(0, ((2, 2),)), (f32(6),), "slices 2:2 are empty, or not in order"),
        (ZeroOut(0, ((2, 4), (3, 5))), (f32(6),), "slices 3:5 are empty, or not in order"),
        (ZeroOut(0, ((5, 7),)), (f32(6),), "slices up to 7, dim 0 of f32[6] has 6"),
        (Fill(Root.rational(0)), (f32(6),), "a tensor of zeros is `zero_out`"),
        (Fresh(0, AT, "like", ""), (f32(6), f32(4)), "a draw needs a key"),
        (
            Fresh(0, AT, "normal(-1)", "k"),
            (f32(6), f32(4)),
            "init is `like`, `normal(std)` or `constant(c)`",
        ),
        (
            Fresh(0, AT, "like", "k"),
            (f32(6), TensorType((4,), "F16")),
            "f32[6] cannot take its scale",
        ),
        (AddNull(0, TWICE, "centred", "like", "k"), (f32(6), f32(4)), "the map makes 8 slices, dim 0 of"),
        (
            AddNull(0, E(4, ("copy", 4), ("zero", 4)), "centred", "like", "k"),
            (f32(8), f32(4)),
            "the map has rows of kind zero",
        ),
        (AddNull(0, MAP, "centred", "like", "k"), (f32(6), f32(4)), "no unit has a second copy"),
        (AddNull(0, TWICE, "both", "like", "k"), (f32(8), f32(4)), "noise is `centred`, `first` or `paired`"),
        (AddNull(0, TWICE, "paired", "snr(x)", "k"), (f32(8), f32(4)), "scale is `like`, `like(f)`"),
        (AddNull(0, TWICE, "paired", "like", ""), (f32(8), f32(4)), "a draw needs a key"),
        (
            AddNull(0, TWICE, "paired", "like", "k"),
            (f32(8), TensorType((4,), "F16")),
            "f32[8] cannot take its scale",
        ),
        (Mask(0, AT, "heads", -1), (f32(6),), "a mask has an axis, and a ramp of 0 steps or more"),
        (Graft(0, AT), (f32(6),), "takes 2 inputs, has 1"),
        (Graft(0, AT), (f32(5), f32(5)), "slices up to 6, dim 0 of f32[5] has 5"),
        (Graft(0, AT), (f32(6), f32(7)), "slices of f32[7] cannot stand in f32[6]"),
        (Graft(0, AT), (f32(6), TensorType((6,), "F16")), "slices of f16[6] cannot stand in f32[6]"),
        (Resample(0, 2, 2, 3), (f32(5),), "a grid of 2 a side after 2 is 6 slices, not 5"),
        (Resample(0, 5, 0, 3), (f32(5),), "a grid has at least one slice a side"),
        (Resample(0, -1, 2, 3), (f32(3),), "a grid has at least one slice a side"),
        (Resample(1, 1, 2, 3), (f32(5),), "f32[5] has no dim 1"),
        (Scale(Root.rational(0)), (f32(6),), "a tensor times 0 is `zero_out`"),
        (RescaleNorm(Root()), (f32(6, 2),), "a norm's scale is a vector, not f32[6, 2]"),
    ],
)
def test_refuses(op: Primitive, inputs: tuple[TensorType, ...], reason: str) -> None:
    with pytest.raises(Mistype) as error:
        result_type(op, inputs)
    assert str(error.value).startswith(reason)


def test_untouched_maps_are_fine() -> None:
    assert result_type(DuplicateRow(0, Expansion.identity(4)), (f32(4),)) == f32(4)
