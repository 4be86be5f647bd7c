"""What a checker and a cost ask of the layout of a learned operator, whatever its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from growplan.check.general import GeneralLayout
from growplan.check.mango import MangoLayout
from growplan.check.operators import LigoLayout
from growplan.families.model import Model
from growplan.methods.base import LeafSpec, Operator


class Layout(Protocol):
    """An operator between two models: its leaves, its numbers, what making the weights costs."""

    @property
    def before(self) -> Model:
        """The model that it reads."""
        ...

    @property
    def after(self) -> Model:
        """The model that it makes."""
        ...

    @property
    def operator(self) -> Operator:
        """What is fitted."""
        ...

    def leaves(self, id: str, key: str) -> tuple[LeafSpec, ...]:
        """Every leaf of step `id`, whose draws begin with `key`."""
        ...

    @property
    def parts(self) -> Mapping[str, int]:
        """What its numbers are of (`width`, `depth`, ...), and how many; together all leaves."""
        ...

    @property
    def inner_parameters(self) -> int:
        """Numbers that are each layer's own under `layer` ties."""
        ...

    @property
    def whole_heads(self) -> bool:
        """Whether `mix auto` mixes heads as wholes."""
        ...

    @property
    def materialise(self) -> int:
        """FLOPs of making all weights of the target once."""
        ...

    @property
    def label(self) -> str:
        """What kind it is, in a few words."""
        ...

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is fitted, for the reader of a check."""
        ...


def layout(before: Model, after: Model, operator: Operator) -> Layout:
    """The layout of an operator between two models."""
    kinds: dict[str, type[LigoLayout | GeneralLayout | MangoLayout]] = {
        "ligo": LigoLayout,
        "general": GeneralLayout,
        "mango": MangoLayout,
    }
    return kinds[operator.kind](before, after, operator)
