"""How to change a plan so that an open equation closes: every way is checked as a whole plan first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from math import lcm

from growplan.check.resolve import Relation, axis_aliases, open_relations, solve
from growplan.diagnostics import Span
from growplan.families.expr import evaluate_size, size_names
from growplan.families.model import Model
from growplan.language.plan import Growth, Plan, Step

Check = Callable[[Plan], bool]
MOST_SIZES = 2  # of one axis, in a message
APPENDED = (("fpi", ""), ("bert2bert", " (approximate, as published)"))


def ways_to_close(
    plan: Plan, source: Model, model: Model, relations: tuple[Relation, ...], works: Check, at: Span | None
) -> tuple[str, ...]:
    """Sizes, steps and releases after which `works` takes the plan; `model` is where it stands now.

    A size of another step than the one `at` which the mistake is shown is named with its step.
    """
    relation = next(iter(open_relations(relations, model.sizes)), None)
    if relation is None:
        return ()
    axes = sorted(set().union(*map(size_names, relation)) - {"head_dim"})
    ways = [
        *_resized(plan, source, model, relation, axes, works, at),
        *_appended(plan, model, relation, works),
    ]
    if all(way.endswith(APPENDED[1][1]) for way in ways):
        ways = [*ways, *_both(plan, source, model, relation, axes, works, at)]
    if relation in model.family.keeps:
        size = model.sizes["head_dim"]
        release = _step("head_dim", size, size)
        if works(plan.model_copy(update={"steps": (release, *plan.steps)})):
            ways.append(f"or let the model leave it: a step `widen head_dim {size}→{size}` releases it")
    kept = " and ".join(f"{axis} {source.sizes[axis]}" for axis in axes if axis in source.sizes)
    return tuple(ways) or (f"keep {kept}, the sizes of the source",)


def ways_to_divide(plan: Plan, source: Model, model: Model, works: Check, at: Span | None) -> tuple[str, ...]:
    """The same for a broken hard constraint: sizes of its left side, multiples of its right."""
    for left, right in model.family.constraints:
        now, unit = evaluate_size(left, model.sizes), int(evaluate_size(right, model.sizes))
        if now % unit == 0 or left not in model.sizes:
            continue
        sizes = [
            size for more in range(3) if (size := int(now) // unit * unit + more * unit) > source.sizes[left]
        ]
        found = list(_tried(plan, model, left, sizes, works, at))
        return tuple(found) or tuple(_grown(plan, model, left, [size for size in sizes if size > now], works))
    return ()


def _tried(
    plan: Plan, model: Model, axis: str, sizes: Sequence[int], works: Check, at: Span | None
) -> Iterator[str]:
    """`use heads 12 or 18`: other sizes where the plan names the axis."""
    place = _place(plan, model, axis)
    if place is None:
        return
    found = list(islice((size for size in sizes if works(_with_size(plan, place, size))), MOST_SIZES))
    if found:
        yield f"use {axis} {' or '.join(map(str, sorted(found)))}{_where(plan, place, at)}"


def _grown(plan: Plan, model: Model, axis: str, sizes: Sequence[int], works: Check) -> Iterator[str]:
    """One more step, to the first of these sizes that works."""
    old = model.sizes[axis]
    for new in sizes:
        for via, remark in APPENDED:
            step = _step(axis, old, new, via)
            if works(plan.model_copy(update={"steps": (*plan.steps, step)})):
                yield f"`widen {axis} {old}→{new} via {via}`{remark}"
                return


def _resized(
    plan: Plan,
    source: Model,
    model: Model,
    relation: Relation,
    axes: list[str],
    works: Check,
    at: Span | None,
) -> Iterator[str]:
    """`use heads 12 or 18`: other sizes for the axes that the plan names."""
    for axis in axes:
        sizes = _sizes(source, model, relation, axis, axes)
        yield from _tried(plan, model, axis, sizes, works, at)


def _appended(plan: Plan, model: Model, relation: Relation, works: Check) -> Iterator[str]:
    """One more step, to the size that closes the equation."""
    for axis in sorted(set().union(*map(size_names, relation)) - {"head_dim"}):
        value = solve(relation, axis, model.sizes)
        if value is None or value.denominator != 1 or value <= model.sizes[axis]:
            continue
        yield from _grown(plan, model, axis, [int(value)], works)


def _both(
    plan: Plan,
    source: Model,
    model: Model,
    relation: Relation,
    axes: list[str],
    works: Check,
    at: Span | None,
) -> Iterator[str]:
    """Another size for an axis that the plan names, and the step that then closes the equation."""
    for axis in axes:
        place = _place(plan, model, axis)
        for size in _sizes(source, model, relation, axis, axes) if place is not None else ():
            assert place is not None
            changed = _with_size(plan, place, size)
            sizes = {**model.sizes, axis: size}
            for other in axes:
                value = solve(relation, other, sizes)
                if other == axis or value is None or value.denominator != 1:
                    continue
                step = _step(other, model.sizes[other], int(value), "fpi")
                if works(changed.model_copy(update={"steps": (*changed.steps, step)})):
                    there = _where(plan, place, at)
                    grown = f"{other} {model.sizes[other]}→{value}"
                    yield f"use {axis} {size}{there}, and `widen {grown} via fpi`"
                    return


def _sizes(source: Model, model: Model, relation: Relation, axis: str, axes: list[str]) -> list[int]:
    """Sizes of `axis` that may close the relation, the nearest to the plan's first.

    The one that solves it; multiples of what lets another axis solve it, of the source's size (for
    methods that copy evenly) and of kv_heads.
    """
    now, old = model.sizes[axis], source.sizes.get(axis, 1)
    value = solve(relation, axis, model.sizes)
    found = {int(value)} if value is not None and value.denominator == 1 else set()
    units = [old] + ([model.sizes["kv_heads"]] if axis == "heads" and "kv_heads" in model.sizes else [])
    for other in axes:
        per_one = None if other == axis else solve(relation, other, {**model.sizes, axis: 1})
        if per_one is not None:
            units += [per_one.denominator, lcm(per_one.denominator, old)]
    for unit in units:
        found |= {(now // unit + more) * unit for more in range(3)}
    return sorted((size for size in found if size > old and size != now), key=lambda size: abs(size - now))


def _place(plan: Plan, model: Model, axis: str) -> tuple[int, int] | None:
    """Step and growth of the last size that the plan gives to an axis."""
    aliases = axis_aliases(model.family)
    for i in reversed(range(len(plan.steps))):
        for j, growth in enumerate(plan.steps[i].growths):
            if aliases.get(growth.axis, growth.axis) == axis and (growth.to or growth.by):
                return i, j
    return None


def _where(plan: Plan, place: tuple[int, int], at: Span | None) -> str:
    span = plan.steps[place[0]].span
    here = at is None or span is None or span.start <= at.start < span.end
    return "" if here else f" in step {place[0] + 1}"


def _with_size(plan: Plan, place: tuple[int, int], size: int) -> Plan:
    """The plan with another size there."""
    i, j = place
    step = plan.steps[i]
    changed = Growth(axis=step.growths[j].axis, to=size)
    growths = (*step.growths[:j], changed, *step.growths[j + 1 :])
    steps = (*plan.steps[:i], step.model_copy(update={"growths": growths}), *plan.steps[i + 1 :])
    return plan.model_copy(update={"steps": steps})


def _step(axis: str, old: int, new: int, via: str | None = None) -> Step:
    return Step(verb="widen", growths=(Growth(axis=axis, source=old, to=new),), via=via, id="way-out")
