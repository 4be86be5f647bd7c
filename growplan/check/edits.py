"""How to change a plan so that an open equation closes: every way is checked as a whole plan first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import lcm

from growplan.check.resolve import Relation, axis_aliases, open_relations, solve
from growplan.families.expr import size_names
from growplan.families.model import Model
from growplan.language.plan import Growth, Plan, Step

Check = Callable[[Plan], bool]
MOST_SIZES = 2  # of one axis, in a message
APPENDED = (("fpi", ""), ("bert2bert", " (approximate, as published)"))


def ways_to_close(
    plan: Plan, source: Model, model: Model, relations: tuple[Relation, ...], works: Check
) -> tuple[str, ...]:
    """Sizes, steps and releases after which `works` takes the plan; `model` is where it stands now."""
    relation = next(iter(open_relations(relations, model.sizes)), None)
    if relation is None:
        return ()
    axes = sorted(set().union(*map(size_names, relation)) - {"head_dim"})
    ways = [*_resized(plan, source, model, relation, axes, works), *_appended(plan, model, relation, works)]
    if all(way.endswith(APPENDED[1][1]) for way in ways):
        ways = [*ways, *_both(plan, source, model, relation, axes, works)]
    if relation in model.family.keeps:
        size = model.sizes["head_dim"]
        release = _step("head_dim", size, size)
        if works(plan.model_copy(update={"steps": (release, *plan.steps)})):
            ways.append(f"or let the model leave it: a step `widen head_dim {size}→{size}` releases it")
    kept = " and ".join(f"{axis} {source.sizes[axis]}" for axis in axes if axis in source.sizes)
    return tuple(ways) or (f"keep {kept}, the sizes of the source",)


def _resized(
    plan: Plan, source: Model, model: Model, relation: Relation, axes: list[str], works: Check
) -> Iterator[str]:
    """`use heads 12 or 18`: other sizes for an axis that the plan names."""
    for axis in axes:
        found: list[int] = []
        for size in _sizes(source, model, relation, axis, axes):
            changed = _with_size(plan, model, axis, size)
            if changed is not None and works(changed):
                found.append(size)
            if len(found) == MOST_SIZES:
                break
        if found:
            yield f"use {axis} {' or '.join(map(str, sorted(found)))}"


def _appended(plan: Plan, model: Model, relation: Relation, works: Check) -> Iterator[str]:
    """One more step, to the size that closes the equation."""
    for axis in sorted(set().union(*map(size_names, relation)) - {"head_dim"}):
        value = solve(relation, axis, model.sizes)
        if value is None or value.denominator != 1 or value <= model.sizes[axis]:
            continue
        old, new = model.sizes[axis], int(value)
        for via, remark in APPENDED:
            step = _step(axis, old, new, via)
            if works(plan.model_copy(update={"steps": (*plan.steps, step)})):
                yield f"`widen {axis} {old}→{new} via {via}`{remark}"
                break


def _both(
    plan: Plan, source: Model, model: Model, relation: Relation, axes: list[str], works: Check
) -> Iterator[str]:
    """Another size for an axis that the plan names, and the step that then closes the equation."""
    for axis in axes:
        for size in _sizes(source, model, relation, axis, axes):
            changed = _with_size(plan, model, axis, size)
            if changed is None:
                continue
            sizes = {**model.sizes, axis: size}
            for other in axes:
                value = solve(relation, other, sizes)
                if other == axis or value is None or value.denominator != 1:
                    continue
                step = _step(other, model.sizes[other], int(value), "fpi")
                if works(changed.model_copy(update={"steps": (*changed.steps, step)})):
                    yield f"use {axis} {size}, and `widen {other} {model.sizes[other]}→{value} via fpi`"
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


def _with_size(plan: Plan, model: Model, axis: str, size: int) -> Plan | None:
    """The plan with another size in the last growth of an axis, or None where no step gives one."""
    aliases = axis_aliases(model.family)
    for i in reversed(range(len(plan.steps))):
        step = plan.steps[i]
        for j, growth in enumerate(step.growths):
            if aliases.get(growth.axis, growth.axis) != axis or not (growth.to or growth.by):
                continue
            changed = Growth(axis=growth.axis, to=size)
            growths = (*step.growths[:j], changed, *step.growths[j + 1 :])
            steps = (*plan.steps[:i], step.model_copy(update={"growths": growths}), *plan.steps[i + 1 :])
            return plan.model_copy(update={"steps": steps})
    return None


def _step(axis: str, old: int, new: int, via: str | None = None) -> Step:
    return Step(verb="widen", growths=(Growth(axis=axis, source=old, to=new),), via=via, id="way-out")
