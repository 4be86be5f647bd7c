"""Primitives that write values which no old unit has: means, constants, draws, masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from growplan.algebra import Root
from growplan.ir.primitives.base import Primitive, Ranges


@dataclass(frozen=True)
class LnAverage(Primitive):
    """Fill holes with the mean of the old slices (LEMON's LN-average expansion).

    rewrite:   y, x   ->   y     y[at] = c * mean over dim of x
    inputs:    y the tensor with holes, x the old tensor
    """

    name: ClassVar[str] = "ln_average"
    arity: ClassVar[int | None] = 2
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

    `init`: `like` (normal with the mean and standard deviation of x), `normal(std)` or `constant(c)`.
    """

    name: ClassVar[str] = "fresh"
    arity: ClassVar[int | None] = 2
    dim: int
    at: Ranges
    init: str
    key: str


@dataclass(frozen=True)
class DropUnits(Primitive):
    """Draw the slices again that `sample_units` chooses, like those that it chose.

    rewrite:   y, x   ->   y     y[S] = mean(x) + std(x) * normal(key, element) along dim
    inputs:    y the tensor, x what `sample_units` by the key `units` gathered of it

    Drop-Upcycling (arXiv 2502.19261), which draws for gate, up and down apart.
    """

    name: ClassVar[str] = "drop_units"
    arity: ClassVar[int | None] = 2
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
