"""The primitives of learned operators: what trainable leaves do to a tensor.

All are linear in the leaf and in the tensor, so that gradients pass through either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from growplan.ir.primitives.base import Primitive


@dataclass(frozen=True)
class BlendLayers(Primitive):
    """A layer as a weighted sum of one tensor of all old layers (LiGO's depth operator, arXiv 2303.00980).

    rewrite:   W, x_0, ..., x_{L-1}   ->   y     y = sum over l of W[layer, l] x_l
    inputs:    W a leaf [new layers, L], then the tensors of the L old layers, of one shape
    """

    name: ClassVar[str] = "blend_layers"
    arity: ClassVar[int | None] = None
    layer: int


@dataclass(frozen=True)
class Project(Primitive):
    """New units as sums of old ones: LiGO's width operator B = [I ; C] (arXiv 2303.00980).

    rewrite:   x : count units   ->   y : count + extra units     y = [x ; C x] along dim
    inputs:    x, then C a leaf [extra, count]

    The section that begins at slice `start` of `dim` holds `count` units of `inner` slices each
    (heads kept whole: `inner` is their size); the new units follow the old ones of the section.
    On the dimension that reads an axis the same operator is x B^T.
    """

    name: ClassVar[str] = "project"
    arity: ClassVar[int | None] = 2
    dim: int
    start: int
    count: int
    inner: int = 1

    @property
    def stop(self) -> int:
        """The first slice after the old section."""
        return self.start + self.count * self.inner


@dataclass(frozen=True)
class Transform(Primitive):
    """Every unit of a section as a sum of its old ones: a width operator all of whose rows are learned.

    rewrite:   x : count units   ->   y : new units     y = B x along dim
    inputs:    x, then B a leaf [new, count]

    The section is that of `project`, and the new units stand where it stood. On the dimension
    that reads an axis the same operator is x B^T: there too the leaf is [new, count].
    """

    name: ClassVar[str] = "transform"
    arity: ClassVar[int | None] = 2
    dim: int
    start: int
    count: int
    inner: int = 1

    @property
    def stop(self) -> int:
        """The first slice after the old section."""
        return self.start + self.count * self.inner


@dataclass(frozen=True)
class AddLeaf(Primitive):
    """Learned values added to a tensor, element by element.

    rewrite:   x, N   ->   y     y = x + N
    inputs:    x, then N a leaf of x's shape
    """

    name: ClassVar[str] = "add_leaf"
    arity: ClassVar[int | None] = 2
