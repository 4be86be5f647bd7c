"""What is compared of each step, from a checked plan or from the text alone."""

from __future__ import annotations

from collections.abc import Mapping

from growplan.check.cost import cost
from growplan.check.typed import TypedPlan, TypedStep
from growplan.compare.sides import CompiledSide
from growplan.compare.values import StepFacts, Totals
from growplan.language.plan import Growth, Step
from growplan.methods import default_method


def facts(side: CompiledSide, symbolic: bool) -> tuple[StepFacts, ...]:
    """The steps of a side; `symbolic` leaves out what only a source can tell."""
    if symbolic or side.typed is None:
        return tuple(_written(step, index) for index, step in enumerate(side.plan.steps, 1))
    options = {step.id: _options(step) for step in side.plan.steps}
    return tuple(_typed(step, options) for step in side.typed.steps)


def _written(step: Step, index: int) -> StepFacts:
    """A step as its author wrote it."""
    from growplan.language import step_text

    return StepFacts(
        id=step.id or f"step {index}",
        index=index,
        text=step_text(step),
        verb=step.verb,
        method=step.via or default_method(step.verb) or "",
        sizes=tuple((g.axis, g.source, g.to) for g in step.growths),
        words=", ".join(map(_growth_words, step.growths)),
        options=_options(step),
        promised=step.expect,
    )


def _growth_words(growth: Growth) -> str:
    """`hidden 384→768`, `hidden →768`, `depth x2`, or the axis alone."""
    if growth.by is not None:
        return f"{growth.axis} x{growth.by}"
    if growth.to is None:
        return growth.axis
    return f"{growth.axis} {'' if growth.source is None else growth.source}→{growth.to}"


def _options(step: Step) -> tuple[tuple[str, str], ...]:
    """The options of a step and its own keys beside verb, sizes and method."""
    own = {"expect": step.expect, "over": step.over, "on": step.on, "steps": step.steps}
    given = {key: value for key, value in own.items() if value is not None}
    return tuple(sorted((key, str(value)) for key, value in {**given, **step.options}.items()))


def _typed(step: TypedStep, options: Mapping[str | None, tuple[tuple[str, str], ...]]) -> StepFacts:
    after = cost(step.after)
    return StepFacts(
        id=step.id,
        index=step.index,
        text=step.text,
        verb=step.verb,
        method=step.method,
        sizes=step.axes,
        words=", ".join(f"{axis} {old}→{new}" for axis, old, new in step.axes),
        options=() if step.implied is not None else options.get(step.id, ()),
        implied=step.implied,
        candidate=step.candidate or None,
        promised=str(step.promised),
        proof=str(step.proof.claim),
        reasons=step.proof.reasons,
        parameters=after.parameters,
        flops_per_token=after.flops_per_token,
    )


def totals(typed: TypedPlan) -> Totals:
    """The target of a checked plan."""
    return Totals(
        tuple(typed.target.sizes.items()),
        typed.cost_after,
        str(typed.claim),
        f"{typed.target.family.name}, {typed.target.architecture}, {typed.target.dtype}",
    )
