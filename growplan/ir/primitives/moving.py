"""Primitives that take whole tensors or slices from somewhere and leave their values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from growplan.ir.primitives.base import Primitive, Ranges


@dataclass(frozen=True)
class Load(Primitive):
    """Read a tensor of the source checkpoint.

    rewrite:   (disk) tensor   ->   y
    """

    name: ClassVar[str] = "load"
    arity: ClassVar[int | None] = 0
    tensor: str


@dataclass(frozen=True)
class Store(Primitive):
    """Write a tensor of the grown checkpoint.

    rewrite:   y   ->   (disk) tensor
    """

    name: ClassVar[str] = "store"
    tensor: str


@dataclass(frozen=True)
class CopyLayer(Primitive):
    """The same tensor under another layer's name (stacking, interlacing, inserted blocks).

    rewrite:   h.{source}.w   ->   h.{target}.w
    """

    name: ClassVar[str] = "copy_layer"
    source: int
    target: int


@dataclass(frozen=True)
class CopyTensor(Primitive):
    """The same tensor under another name (an expert that is a copy, an untied head).

    rewrite:   {source}   ->   {target}
    """

    name: ClassVar[str] = "copy_tensor"
    source: str
    target: str


@dataclass(frozen=True)
class Leaf(Primitive):
    """A tensor whose values are found at run time, by `growplan.learn`.

    rewrite:   (learned) leaf   ->   y

    `kind`: `data` (measured on a user's data before the step runs) or `trainable` (fitted).
    A data leaf fills one tensor and is called after it (`leaf_name`); nothing that is proved may
    depend on its values.
    """

    name: ClassVar[str] = "leaf"
    arity: ClassVar[int | None] = 0
    leaf: str
    shape: tuple[int, ...]
    dtype: str
    kind: str = "data"


def leaf_name(step: str, tensor: str) -> str:
    """What the data leaf that a step measures for a tensor is called."""
    return f"{step}/{tensor}"


@dataclass(frozen=True)
class FromLeaf(Primitive):
    """Fill holes with the slices of a leaf, in order.

    rewrite:   y, x   ->   y     y[at] = x along dim
    inputs:    y the tensor with holes, x the leaf, as many slices as `at` names
    """

    name: ClassVar[str] = "from_leaf"
    arity: ClassVar[int | None] = 2
    dim: int
    at: Ranges


@dataclass(frozen=True)
class Graft(Primitive):
    """Take slices of another tensor of the same shape (AKI, arXiv 2110.07143).

    rewrite:   y, z   ->   y     y[at] = z[at] along dim
    inputs:    y the tensor, z the one that the slices come from (the layer above, expanded alike)
    """

    name: ClassVar[str] = "graft"
    arity: ClassVar[int | None] = 2
    dim: int
    at: Ranges
