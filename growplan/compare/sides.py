"""One side of a diff: the plan's text, where it comes from, and what compiling it yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.language.plan import Plan

if TYPE_CHECKING:
    from growplan.check.stages import Schedule
    from growplan.check.typed import TypedPlan
    from growplan.ir.graph import Graph


@dataclass(frozen=True)
class Side:
    """A plan under a name. `plan` is None on the missing side of an added or deleted file."""

    name: str
    plan: Plan | None


@dataclass(frozen=True)
class CompiledSide:
    """A side with whatever could be compiled of it.

    `schedule` is that of a plan with stages. `graphs`: the lowered growth, under an empty name, or that
    of each stage under its own.
    """

    name: str
    plan: Plan
    typed: TypedPlan | None = None
    schedule: Schedule | None = None
    graphs: Mapping[str, Graph] = field(default_factory=dict)
    problems: tuple[Diagnostic, ...] = ()

    @property
    def growths(self) -> list[tuple[str, TypedPlan]]:
        """What was typed: of stages each that grows, under its name."""
        if self.schedule is None:
            return [] if self.typed is None else [("", self.typed)]
        return [(stage.name, stage.typed) for stage in self.schedule.stages if stage.typed is not None]


def compiled(side: Side, *, model_dir: str | None, family: str | None, lower: bool) -> CompiledSide:
    """Compile as far as the source allows; a plan that does not check is compared as written."""
    if side.plan is None:
        return CompiledSide(side.name, Plan())
    from growplan.check.stages import check_stages
    from growplan.pipeline import bind_source, compile_plan, tensor_types

    try:
        if side.plan.stages:
            _, headers, model = bind_source(side.plan, model_dir, family)
            found = CompiledSide(side.name, side.plan, schedule=check_stages(side.plan, model))
        else:
            result = compile_plan(side.plan, model_dir=model_dir, family=family, stop_after="check")
            headers, found = result.headers, CompiledSide(side.name, side.plan, result.typed)
    except DiagnosticError as error:
        return CompiledSide(side.name, side.plan, problems=error.diagnostics)
    if not lower:
        return found
    from growplan.ir.lower import lower as lowered

    graphs = {
        name: lowered(typed, {} if number else tensor_types(headers))  # headers are those of the source
        for number, (name, typed) in enumerate(found.growths)
    }
    return replace(found, graphs=graphs)
