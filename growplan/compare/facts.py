"""What is compared of each step, from a checked plan or from the text alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from growplan.check.cost import cost
from growplan.check.typed import TypedStep
from growplan.compare.sides import CompiledSide
from growplan.compare.values import StageFacts, StepFacts, Totals
from growplan.language.plan import Growth, Step, Train
from growplan.language.printing import length_text, stage_lines, value_text
from growplan.methods import default_method


def facts(side: CompiledSide, symbolic: bool) -> tuple[StepFacts, ...]:
    """The steps of a side; `symbolic` leaves out what only a source can tell."""
    if symbolic or not side.growths:
        named: list[tuple[str | None, Step]] = [(None, step) for step in side.plan.steps]
        named += [(stage.name, step) for stage in side.plan.stages for step in stage.steps]
        return tuple(
            replace(_written(step, index), stage=stage) for index, (stage, step) in enumerate(named, 1)
        )
    options = {step.id: _options(step) for step in side.plan.every_step}
    typed = [(name, step) for name, growth in side.growths for step in growth.steps]
    return tuple(
        replace(_typed(step, options), index=index, stage=name or None)
        for index, (name, step) in enumerate(typed, 1)
    )


def stage_facts(side: CompiledSide, symbolic: bool) -> tuple[StageFacts, ...]:
    """The stages of a side, none where it is a plan of steps."""
    found = []
    for index, stage in enumerate(side.plan.stages, 1):
        parts = (("freeze", stage.freeze), ("train-only", stage.train_only))
        training = [*_training(side.plan.training(stage))]
        training += [(key, ", ".join(sorted(words))) for key, words in parts if words]
        name, *lines = stage_lines(side.plan, stage, steps=False)
        text = f"{name}: {'; '.join(lines)}" if lines else name
        steps = tuple(step.id or "" for step in stage.steps)
        one = StageFacts(stage.name, index, text, steps, tuple(training))
        if side.schedule is not None and not symbolic:
            typed = side.schedule[stage.name]
            one = replace(
                one,
                parameters_before=cost(typed.before).parameters,
                parameters=cost(typed.after).parameters,
                trained=typed.cost.trained,
                tokens=typed.cost.tokens,
                flops=typed.cost.flops,
            )
        found.append(one)
    return tuple(found)


def _training(train: Train | None) -> Iterator[tuple[str, str]]:
    """A training key by key: `length`, `on`, `option lr`."""
    if train is None:
        return
    if length := length_text(train, short=True):
        yield "length", length
    if train.on is not None:
        yield "on", train.on
    yield from sorted((f"option {key}", value_text(value)) for key, value in train.options.items())


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


def totals(side: CompiledSide) -> Totals | None:
    """The target of a side; None where it could not be compiled."""
    whole = side.typed or side.schedule
    if whole is None:
        return None
    model = whole.target
    found = Totals(
        tuple(model.sizes.items()),
        cost(model),
        str(whole.claim),
        f"{model.family.name}, {model.architecture}, {model.dtype}",
    )
    if side.schedule is None:
        return found
    return replace(found, tokens=side.schedule.tokens, flops=side.schedule.flops)
