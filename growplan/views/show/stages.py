"""A plan as a chain of models and the steps between them: what every picture draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from growplan.check.cost import cost
from growplan.check.typed import TypedPlan, TypedStep
from growplan.families.model import Model
from growplan.views import numbers
from growplan.views.names import axes_in_order, step_title


@dataclass(frozen=True)
class Stage:
    """One model of the chain: its name, its sizes, and those that the step before it changed."""

    name: str
    sizes: Mapping[str, int]
    changed: frozenset[str]
    parameters: int
    step: TypedStep | None  # the step that leads here

    @property
    def lines(self) -> list[str]:
        """The name, parameters, and the sizes worth reading: all of the source, else the changes."""
        shown = [axis for axis in axes_in_order(self.sizes) if self.step is None or axis in self.changed]
        return [
            self.name,
            f"{numbers.count(self.parameters)} parameters",
            *(f"{axis} {self.sizes[axis]}" for axis in shown),
        ]

    @property
    def edge(self) -> list[str]:
        """What stands on the arrow: the step, how, and its claim."""
        if self.step is None:
            return []
        how = [self.step.candidate] if self.step.candidate else []
        return [step_title(self.step), *how, str(self.step.proof.claim)]

    @property
    def strength(self) -> str:
        return "" if self.step is None else self.step.proof.claim.strength


def stages(typed: TypedPlan) -> list[Stage]:
    """The source, then the model after each step."""
    first = Stage("source", typed.source.sizes, frozenset(), cost(typed.source).parameters, None)
    out = [first]
    for step in typed.steps:
        name = "target" if step is typed.steps[-1] else f"after step {step.index}"
        out.append(_stage(name, step.before, step.after, step))
    return out


def _stage(name: str, before: Model, after: Model, step: TypedStep) -> Stage:
    changed = frozenset(a for a, size in after.sizes.items() if before.sizes.get(a) != size)
    return Stage(name, after.sizes, changed, cost(after).parameters, step)
