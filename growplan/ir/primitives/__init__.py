"""The primitives: frozen records of what happens to one tensor.

A primitive has a type rule (`growplan.ir.typing`), a symbolic rule (`growplan.ir.verify`),
a torch rule (`growplan.backend.kernels`) and a printer (`growplan.ir.text`); a completeness
test fails if one is missing. Notation: x is the input, y the result, E an expansion.
"""

from __future__ import annotations

from growplan.ir.primitives.base import Primitive, Ranges
from growplan.ir.primitives.fills import AddNoise, DropUnits, Fill, Fresh, LnAverage, Mask, ZeroOut
from growplan.ir.primitives.learned import AddLeaf, BlendLayers, Project, Transform
from growplan.ir.primitives.maps import AddNull, DuplicateRow, Resample, SampleUnits, SplitColumn
from growplan.ir.primitives.moving import CopyLayer, CopyTensor, FromLeaf, Graft, Leaf, Load, Store, leaf_name
from growplan.ir.primitives.norms import RescaleNorm, Scale
from growplan.ir.primitives.ring import CoreMatrix, Cut, Join, Pack, RingMap

PRIMITIVES: tuple[type[Primitive], ...] = (
    Load,
    CopyLayer,
    CopyTensor,
    DuplicateRow,
    SplitColumn,
    LnAverage,
    ZeroOut,
    Fill,
    Fresh,
    AddNull,
    Leaf,
    FromLeaf,
    SampleUnits,
    DropUnits,
    AddNoise,
    Mask,
    Graft,
    Resample,
    BlendLayers,
    Project,
    Transform,
    AddLeaf,
    Pack,
    RingMap,
    CoreMatrix,
    Join,
    Scale,
    RescaleNorm,
    Store,
)

# what may read the counter-based generator, by its key
Drawn = Fresh | SplitColumn | AddNull | SampleUnits | DropUnits | AddNoise

__all__ = [
    "PRIMITIVES",
    "AddLeaf",
    "AddNoise",
    "AddNull",
    "BlendLayers",
    "CopyLayer",
    "CopyTensor",
    "CoreMatrix",
    "Cut",
    "Drawn",
    "DropUnits",
    "DuplicateRow",
    "Fill",
    "Fresh",
    "FromLeaf",
    "Graft",
    "Join",
    "Leaf",
    "LnAverage",
    "Load",
    "Mask",
    "Pack",
    "Primitive",
    "Project",
    "Ranges",
    "Resample",
    "RescaleNorm",
    "RingMap",
    "SampleUnits",
    "Scale",
    "SplitColumn",
    "Store",
    "Transform",
    "ZeroOut",
    "leaf_name",
]
