"""Primitives that make one axis of a tensor wider, or choose of it.

E is an expansion (`growplan.algebra`), x the input, y the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from growplan.algebra import Expansion
from growplan.ir.primitives.base import Primitive


@dataclass(frozen=True)
class DuplicateRow(Primitive):
    """Gather slices along `dim` by the copy rows of E; all other rows stay holes.

    rewrite:   x : n   ->   y : n*      y[i] = c_i x[j_i]
    """

    name: ClassVar[str] = "duplicate_row"
    dim: int
    map: Expansion  # copy and hole rows only


@dataclass(frozen=True)
class SplitColumn(Primitive):
    """Divide each input slice among the copies of its unit: x . D with D . E = I.

    rewrite:   x : out x n   ->   y : out x n*     y[:, i] = (share_i / c_i) x[:, j_i]

    `shares` of the C copies of a unit, in every row of the tensor 1 together:

        even     1/C each
        uneven   drawn by `key`, per element: with s in [1/2, 1), the last copy takes fl(s x), the
                 first what is left, so that the stored shares sum to x exactly (LEMON's
                 alpha != beta, arXiv 2310.07999)
        first    the first copy takes all (LEMON's `comp`, with noise on the others)
        own      row a of the copies that `rows` makes along the other dimension reads copy a
                 (modulo C) alone: block-diagonal (arXiv 2203.06211); rows with one copy read evenly

    Rows of E that are not copies leave holes.
    """

    name: ClassVar[str] = "split_column"
    dim: int
    map: Expansion  # copy and hole rows only
    shares: str  # even | uneven | first | own
    key: str = ""
    rows: Expansion | None = None  # of `own`: how the other dimension was made; copies and holes

    @property
    def row_dim(self) -> int:
        """The dimension that `rows` speaks of."""
        return 1 if self.dim == 0 else 0


@dataclass(frozen=True)
class AddNull(Primitive):
    """Add a null term: noise on the copies of a unit that cancels where they are read together.

    rewrite:   y, x   ->   y + N     N . E = 0 for E = map along `dim`
    inputs:    y the tensor over the copies, x the old tensor (its scale, for `like` and `snr`)

    Drawn per element by `key`, on units with several copies. With R normal and c_i the
    coefficient of copy i:

        centred   N_i = (R_i - mean of R over the copies of the unit) / c_i
                  (LEMON's projection of fresh weights on the lossless ones, arXiv 2310.07999)
        first     N_i = R_i / c_i, and the first copy takes it off: -(sum of R_i) / c_0
                  (LEMON's `comp` for two copies)
        paired    N_i = R / c_i and N_k = -R / c_k for copies 0 and 1, 2 and 3, ... of a unit; an
                  odd last copy gets none (HyperCloning, arXiv 2409.12903)

    `scale` of R: `like` (standard deviation of x), `like(f)` (f of it), `normal(std)`, or `snr(DB)`:
    10^(-DB/20) times the root mean square of x divided by the copies of the unit.
    """

    name: ClassVar[str] = "add_null"
    arity: ClassVar[int | None] = 2
    dim: int
    map: Expansion  # copy and hole rows only
    pairing: str  # centred | first | paired
    scale: str
    key: str


@dataclass(frozen=True)
class Resample(Primitive):
    """Interpolate slices as a square grid of another size; the first `kept` stay as they are.

    rewrite:   [t : kept ; x : old·old]   ->   [t : kept ; bicubic(x) : new·new]   along dim

    Cubic convolution (a = -3/4) in each direction, edges repeated, corners not aligned: torch's
    `interpolate(mode="bicubic", align_corners=False)`.
    """

    name: ClassVar[str] = "resample"
    dim: int
    kept: int
    old: int
    new: int


@dataclass(frozen=True)
class SampleUnits(Primitive):
    """Gather `count` of the slices along `dim`, in order, chosen at random by `key`.

    rewrite:   x : n   ->   y : count      y = x[S], S the slices with the smallest words of `key`
    """

    name: ClassVar[str] = "sample_units"
    dim: int
    count: int
    key: str
