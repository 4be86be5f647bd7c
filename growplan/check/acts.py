"""Types of activations, and what a typed model asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from growplan.algebra import Expansion
from growplan.check.rules import Refusal
from growplan.check.typed import ModuleTyping, ParamRewrite, Violation
from growplan.families.model import AxisExpr


@dataclass(frozen=True)
class Act:
    """The type of an activation: its map, its axis, and the module that put it out.

    `rotary`: rotary positions were applied to it.

    `e` is None for inputs that are no activations (token ids).
    """

    e: Expansion | None
    axis: AxisExpr | None = None
    producer: str | None = None
    rotary: bool = False

    @property
    def map(self) -> Expansion:
        if self.e is None:
            raise Refusal("an activation", "an input of the model")
        return self.e


@dataclass
class Typing:
    """What a typed model asks for: a map for every parameter, one factor per epsilon key."""

    rewrites: dict[tuple[str, str], ParamRewrite] = field(default_factory=dict)
    typings: dict[str, ModuleTyping] = field(default_factory=dict)
    tied: list[ModuleTyping] = field(default_factory=list)
    eps: dict[str, tuple[Fraction, str]] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    inputs: set[str] = field(default_factory=set)  # axes that inputs of the model select from
    stream: Expansion | None = None
    rotary: tuple[Fraction, float] | None = None  # (new over old head size, theta*), where rope moves

    @property
    def grafted(self) -> list[ParamRewrite]:
        """The parameters that take slices from the layer above."""
        return [rewrite for rewrite in self.rewrites.values() if rewrite.graft]
