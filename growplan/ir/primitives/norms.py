"""Primitives that multiply by one constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from growplan.algebra import Root
from growplan.ir.primitives.base import Primitive


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
