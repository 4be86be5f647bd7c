"""The primitives of a tensor ring: Mango's multi-linear operator (arXiv 2310.10699), re-derived.

    M2[l2, b2, o2, i2] = sum over b1, o1, l1, i1 and bonds r1 to r4 of
        S_B[r1, b1, b2, r2] S_O[r2, o1, o2, r3] S_L[r3, l1, l2, r4] S_I[r4, i1, i2, r1] M1[l1, b1, o1, i1]

M1 holds the weights of all old layers as blocks of one size, outputs before inputs. All of it is
linear in each core and in the tensors, so that gradients pass through any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from growplan.ir.primitives.base import Primitive


@dataclass(frozen=True)
class Cut:
    """A part of a matrix as a grid of blocks, counted row by row: `count` blocks from `start` on.

    In `pack` these are slices of a tensor: rows start : start + (blocks down) * (rows of a block).
    In `ring_map` they are blocks of the ring. `across`: blocks side by side. `transposed`: the tensor
    is stored with inputs first.
    """

    start: int
    count: int
    across: int = 1
    transposed: bool = False

    @property
    def down(self) -> int:
        """Blocks one below the other."""
        return self.count // self.across

    @property
    def stop(self) -> int:
        """The first block after these."""
        return self.start + self.count


@dataclass(frozen=True)
class Pack(Primitive):
    """The weights of one layer as blocks of one size.

    rewrite:   x_0, x_1, ...   ->   y : [blocks, rows, cols]     the blocks of each cut in turn
    inputs:    a matrix for each cut, [outputs, inputs] or stored transposed

    The cut of a matrix starts at a row of it (`start`), and takes all of its columns.
    """

    name: ClassVar[str] = "pack"
    arity: ClassVar[int | None] = None
    rows: int
    cols: int
    cuts: tuple[Cut, ...]

    @property
    def blocks(self) -> int:
        """How many blocks the layer has."""
        return sum(cut.count for cut in self.cuts)


@dataclass(frozen=True)
class RingMap(Primitive):
    """Blocks of one new layer as sums of all blocks of all old layers: M2 above, at l2 = layer.

    rewrite:   S_B, S_O, S_L, S_I, x_0, ..., x_{L-1}   ->   y     y = M2[layer, blocks of `cut`], a matrix
    inputs:    the cores, leaves [bond, old, new, bond], then what `pack` made of each old layer

    Where a core counts fewer units than a block has rows (or columns), a unit is that many times as
    many of them: whole heads.
    """

    name: ClassVar[str] = "ring_map"
    arity: ClassVar[int | None] = None
    layer: int
    cut: Cut


@dataclass(frozen=True)
class CoreMatrix(Primitive):
    """A core as a plain matrix, for vectors and tables that are no blocks of a ring: its first bonds.

    rewrite:   S : [bond, old, new, bond]   ->   y : [new, old]     y[j, i] = S[0, i, j, 0]
    """

    name: ClassVar[str] = "core_matrix"


@dataclass(frozen=True)
class Join(Primitive):
    """Tensors one after another along a dimension: the parts of a fused projection.

    rewrite:   x_0, x_1, ...   ->   y     y = [x_0 ; x_1 ; ...] along dim
    """

    name: ClassVar[str] = "join"
    arity: ClassVar[int | None] = None
    dim: int
