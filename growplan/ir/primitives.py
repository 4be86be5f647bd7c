"""The primitives: frozen records of what happens to one tensor.

A primitive has a type rule (`growplan.ir.typing`), a symbolic rule (`growplan.ir.verify`),
a torch rule (`growplan.backend.kernels`) and a printer (`growplan.ir.text`); a completeness
test fails if one is missing. Notation: x is the input, y the result, E an expansion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from growplan.algebra import Expansion, Root

Ranges = tuple[tuple[int, int], ...]  # half-open


@dataclass(frozen=True)
class Primitive:
    """Base of all primitives; `name` is the word of the textual form."""

    name: ClassVar[str] = ""
    arity: ClassVar[int] = 1


@dataclass(frozen=True)
class Load(Primitive):
    """Read a tensor of the source checkpoint.

    rewrite:   (disk) tensor   ->   y
    """

    name: ClassVar[str] = "load"
    arity: ClassVar[int] = 0
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
class LnAverage(Primitive):
    """Fill holes with the mean of the old slices (LEMON's LN-average expansion).

    rewrite:   y, x   ->   y     y[at] = c * mean over dim of x
    inputs:    y the tensor with holes, x the old tensor
    """

    name: ClassVar[str] = "ln_average"
    arity: ClassVar[int] = 2
    dim: int
    at: Ranges
    c: Root


@dataclass(frozen=True)
class ZeroOut(Primitive):
    """Set slices to zero (padding of an RMSNorm stream, a silenced projection).

    rewrite:   y   ->   y     y[at] = 0 along dim
    """

    name: ClassVar[str] = "zero_out"
    dim: int
    at: Ranges


@dataclass(frozen=True)
class Fill(Primitive):
    """Set the whole tensor to one constant (a norm's scale to 1).

    rewrite:   x   ->   y     y[...] = value
    """

    name: ClassVar[str] = "fill"
    value: Root


@dataclass(frozen=True)
class Fresh(Primitive):
    """Draw slices from the counter-based generator keyed by (key, element).

    rewrite:   y, x   ->   y     y[at] ~ init along dim
    inputs:    y the tensor with holes, x the old tensor (its scale, for `like`)

    `init`: `like` (normal with the mean and standard deviation of x) or `normal(std)`.
    """

    name: ClassVar[str] = "fresh"
    arity: ClassVar[int] = 2
    dim: int
    at: Ranges
    init: str
    key: str


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
    arity: ClassVar[int] = 2
    dim: int
    map: Expansion  # copy and hole rows only
    pairing: str  # centred | first | paired
    scale: str
    key: str


@dataclass(frozen=True)
class Leaf(Primitive):
    """A tensor whose values are found at run time, by `growplan.learn`.

    rewrite:   (learned) leaf   ->   y

    `kind`: `data` (measured on a user's data before the step runs) or `trainable` (fitted).
    A data leaf fills one tensor and is called after it (`leaf_name`); nothing that is proved may
    depend on its values.
    """

    name: ClassVar[str] = "leaf"
    arity: ClassVar[int] = 0
    leaf: str
    shape: tuple[int, ...]
    dtype: str
    kind: str = "data"


@dataclass(frozen=True)
class FromLeaf(Primitive):
    """Fill holes with the slices of a leaf, in order.

    rewrite:   y, x   ->   y     y[at] = x along dim
    inputs:    y the tensor with holes, x the leaf, as many slices as `at` names
    """

    name: ClassVar[str] = "from_leaf"
    arity: ClassVar[int] = 2
    dim: int
    at: Ranges


@dataclass(frozen=True)
class SampleUnits(Primitive):
    """Gather `count` of the slices along `dim`, in order, chosen at random by `key`.

    rewrite:   x : n   ->   y : count      y = x[S], S the slices with the smallest words of `key`
    """

    name: ClassVar[str] = "sample_units"
    dim: int
    count: int
    key: str


@dataclass(frozen=True)
class DropUnits(Primitive):
    """Draw the slices again that `sample_units` chooses, like those that it chose.

    rewrite:   y, x   ->   y     y[S] = mean(x) + std(x) * normal(key, element) along dim
    inputs:    y the tensor, x what `sample_units` by the key `units` gathered of it

    Drop-Upcycling (arXiv 2502.19261), which draws for gate, up and down apart.
    """

    name: ClassVar[str] = "drop_units"
    arity: ClassVar[int] = 2
    dim: int
    count: int
    units: str
    key: str


@dataclass(frozen=True)
class AddNoise(Primitive):
    """Add normal noise to every element; the slices along `dim` count as drawn.

    rewrite:   x   ->   x + std * normal(key, element)
    """

    name: ClassVar[str] = "add_noise"
    dim: int
    std: float
    key: str


@dataclass(frozen=True)
class Mask(Primitive):
    """Multiply slices by a growth mask whose stored value is 0 (MSG, arXiv 2305.02869).

    rewrite:   y   ->   y     y[at] = m * y[at] along dim, m = 0 in the stored checkpoint

    `axis` names the mask (`heads`, `ffn`), `over` the ramp's steps (0: no ramp stored).
    """

    name: ClassVar[str] = "mask"
    dim: int
    at: Ranges
    axis: str
    over: int = 0


@dataclass(frozen=True)
class Graft(Primitive):
    """Take slices of another tensor of the same shape (AKI, arXiv 2110.07143).

    rewrite:   y, z   ->   y     y[at] = z[at] along dim
    inputs:    y the tensor, z the one that the slices come from (the layer above, expanded alike)
    """

    name: ClassVar[str] = "graft"
    arity: ClassVar[int] = 2
    dim: int
    at: Ranges


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
class Scale(Primitive):
    """Multiply a tensor by one constant.

    rewrite:   x   ->   c x
    """

    name: ClassVar[str] = "scale"
    by: Root


@dataclass(frozen=True)
class RescaleNorm(Primitive):
    """Multiply a norm's scale so that its output keeps its size on a wider stream.

    rewrite:   gamma   ->   c gamma     c = sqrt(k n / n*) for LayerNorm with k even copies
    """

    name: ClassVar[str] = "rescale_norm"
    by: Root


@dataclass(frozen=True)
class Store(Primitive):
    """Write a tensor of the grown checkpoint.

    rewrite:   y   ->   (disk) tensor
    """

    name: ClassVar[str] = "store"
    tensor: str


def leaf_name(step: str, tensor: str) -> str:
    """What the data leaf that a step measures for a tensor is called."""
    return f"{step}/{tensor}"


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
    Scale,
    RescaleNorm,
    Store,
)

# what may read the counter-based generator, by its key
Drawn = Fresh | SplitColumn | AddNull | SampleUnits | DropUnits | AddNoise
