"""One side of a diff: the plan's text, where it comes from, and what compiling it yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.language.plan import Plan

if TYPE_CHECKING:
    from growplan.check.typed import TypedPlan
    from growplan.ir.graph import Graph


@dataclass(frozen=True)
class Side:
    """A plan under a name. `plan` is None on the missing side of an added or deleted file."""

    name: str
    plan: Plan | None


@dataclass(frozen=True)
class CompiledSide:
    """A side with whatever could be compiled of it."""

    name: str
    plan: Plan
    typed: TypedPlan | None = None
    graph: Graph | None = None
    problems: tuple[Diagnostic, ...] = ()


def compiled(side: Side, *, model_dir: str | None, family: str | None, lower: bool) -> CompiledSide:
    """Compile as far as the source allows; a plan that does not check is compared as written."""
    if side.plan is None:
        return CompiledSide(side.name, Plan())
    from growplan.pipeline import compile_plan, tensor_types

    try:
        result = compile_plan(side.plan, model_dir=model_dir, family=family, stop_after="check")
    except DiagnosticError as error:
        return CompiledSide(side.name, side.plan, problems=error.diagnostics)
    assert result.typed is not None
    if not lower:
        return CompiledSide(side.name, side.plan, result.typed)
    from growplan.ir.lower import lower as lowered

    return CompiledSide(
        side.name, side.plan, result.typed, lowered(result.typed, tensor_types(result.headers))
    )
