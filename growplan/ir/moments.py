"""What becomes of AdamW's moments: for every tensor of a grown model, where its moments come from.

AdamW keeps a running mean m of each weight's gradient and one, v, of its square. Where the gradient
of a new entry is a constant times that of an old one, G*[i, j] = a_i b_j G[k, l], so are its moments:

    m* = a b m        v* = (a b)^2 v

The constants are those of `growplan.check.gradients`: a row that is c times the old one and gets the
part w of what passes through it has a = w / c; a column that reads c times what the old one read has
b = c. A slice that no old one stands behind is `fresh`: m = 0, v = the mean of v over the entries
that do come from old ones, so that its first steps are no longer than theirs. A tensor that is new as
a whole, or whose function is another one, is `reset`: AdamW begins it anew, with its own step count.

`why` says why moments are an estimate; moments without it are those that the grown model would have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from growplan.algebra import ONE, Expansion, Root, Run
from growplan.check.gradients import Share
from growplan.check.rules import aligned
from growplan.families.model import Param
from growplan.ir.primitives import (
    PRIMITIVES,
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
from growplan.ir.slices import Axis

Kind = Literal["exact", "estimate", "fresh", "reset"]


@dataclass(frozen=True)
class Moved:
    """Where the moments of one tensor come from.

    `axes`: along each dimension, the slice of `source` and the factor on m of every new slice; slices
    that are no copies are fresh. `source` is None where the tensor is reset, and `why` says why then.
    """

    source: str | None
    axes: tuple[Axis, ...] = ()
    why: str = ""

    @property
    def kind(self) -> Kind:
        """`exact`, `estimate` or `reset`; fresh slices do not count."""
        return "reset" if self.source is None else "estimate" if self.why else "exact"

    @property
    def fresh(self) -> bool:
        """Whether some slices have no old one behind them."""
        return any(part.kind != "copy" for axis in self.axes for part in axis.parts)

    def because(self, why: str) -> Moved:
        """The same moments as an estimate; what was one already keeps its reason."""
        return self if self.source is None or self.why else replace(self, why=why)

    def times(self, c: Root) -> Moved:
        """m times c, v times its square."""
        return self if self.source is None else replace(self, axes=(self.axes[0].times(c), *self.axes[1:]))


def reset(why: str) -> Moved:
    """A tensor that AdamW begins anew."""
    return Moved(None, (), why)


@dataclass(frozen=True)
class Tensor:
    """What the rules know of the tensor they move: its parameter, and what reaches it of the gradient."""

    param: Param
    share: Share | None


# rules -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MomentRule:
    """What a primitive does to moments: in one word, in a line, and as a function."""

    kind: Kind
    says: str
    apply: Callable[[Any, Moved, Tensor], Moved]


def _same(op: Primitive, moved: Moved, tensor: Tensor) -> Moved:
    return moved


def _begins(op: Primitive, moved: Moved, tensor: Tensor) -> Moved:
    return reset(f"`{op.name}` makes it of other values than one old tensor's")


def _scaled(op: Scale | RescaleNorm, moved: Moved, tensor: Tensor) -> Moved:
    return moved.times(ONE / op.by)


def _noisy(op: AddNoise, moved: Moved, tensor: Tensor) -> Moved:
    return moved.because("noise was added to its values")


def _split(op: SplitColumn, moved: Moved, tensor: Tensor) -> Moved:
    return _gathered(moved, op.dim, op.map)


def _duplicated(op: DuplicateRow, moved: Moved, tensor: Tensor) -> Moved:
    share = tensor.share
    if share is None:
        return _gathered(moved, op.dim, op.map.plain())
    if op.dim != tensor.param.row_dim:
        return _gathered(moved, op.dim, _within(op.map, share.cols) if share.cols else op.map)
    runs: list[Run] = []
    for made, part in aligned(op.map, share.rows):
        if made.kind == part.kind == "copy" and made.start == part.start:
            runs.append(Run("copy", made.count, made.start, part.c / made.c))
        else:
            runs.append(Run("zero" if part.kind == "zero" else "hole", made.count))
    return _gathered(moved, op.dim, Expansion(op.map.old, tuple(runs)))


def _within(map: Expansion, cols: Expansion) -> Expansion:
    """The copies of `map` that the input really reads; the values of the others came from somewhere else."""
    runs = (b if a.kind == b.kind == "copy" else Run("hole", a.count) for a, b in aligned(map, cols))
    return Expansion(map.old, tuple(runs))


def _gathered(moved: Moved, dim: int, map: Expansion) -> Moved:
    if moved.source is None:
        return moved
    axis = moved.axes[dim].gather(map)
    if all(part.kind != "copy" for part in axis.parts):
        return reset("nothing in it comes from old entries")
    return replace(moved, axes=(*moved.axes[:dim], axis, *moved.axes[dim + 1 :]))


_FRESH = "m = 0, v = the mean of the tensor's"
_CARRIED = MomentRule("exact", "m and v as they are", _same)
_NEW = MomentRule("fresh", _FRESH, _same)  # the slices are holes already: no old one stands behind them
_RESET = MomentRule("reset", "AdamW begins the tensor anew", _begins)

PLAIN = ("maps", "fills", "moving", "norms")  # modules of primitives that are no part of a learned operator

RULES: Mapping[type[Primitive], MomentRule] = {
    **{op: _RESET for op in PRIMITIVES if op.__module__.rpartition(".")[2] not in PLAIN},
    Load: _CARRIED,
    CopyLayer: _CARRIED,
    CopyTensor: _CARRIED,
    Store: _CARRIED,
    DuplicateRow: MomentRule(
        "exact", "m w/c, v (w/c)^2 for copies with coefficient c that get the part w", _duplicated
    ),
    SplitColumn: MomentRule("exact", "m c, v c^2 for inputs with coefficient c, whatever the shares", _split),
    Scale: MomentRule("exact", "m / c, v / c^2", _scaled),
    RescaleNorm: MomentRule("exact", "m / c, v / c^2", _scaled),
    AddNull: MomentRule("exact", "m and v as they are: no gradient depends on a weight's own value", _same),
    LnAverage: _NEW,
    ZeroOut: _NEW,
    Fresh: _NEW,
    FromLeaf: _NEW,
    Mask: _NEW,
    AddNoise: MomentRule("estimate", "m and v as they are", _noisy),
    Leaf: _RESET,
    Fill: _RESET,
    Graft: _RESET,
    Resample: _RESET,
    SampleUnits: _RESET,
    DropUnits: _RESET,
}
