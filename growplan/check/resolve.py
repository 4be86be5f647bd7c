"""From words to sizes: axes, stated and omitted sizes, equations that a step leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction

from growplan.diagnostics import Span, fail
from growplan.families import evaluate_size, kept_equations
from growplan.families.expr import size_names
from growplan.families.model import Family, Model
from growplan.families.sizes import DEEPEST, LARGEST
from growplan.language.plan import Growth, Step
from growplan.methods.base import WIDTH_AXES, OptionValue

GROWABLE = (*WIDTH_AXES, "head_dim", "depth", "experts", "image")
Relation = tuple[str, str]  # left == right, over axes


@dataclass(frozen=True)
class Request:
    """A step with its axes and sizes settled: axis -> (old, new)."""

    step: Step | None  # None for an implied step
    id: str
    verb: str
    via: str
    grow: Mapping[str, tuple[int, int]]
    span: Span | None
    implied: str | None = None
    inherited: Mapping[str, OptionValue] = field(default_factory=dict)  # options of the step that implies it
    inherited_over: int | None = None  # and its ramp

    @property
    def options(self) -> Mapping[str, OptionValue]:
        """Options of the method: those of the line, or of the step that implies this one."""
        return self.step.options if self.step is not None else self.inherited

    @property
    def over(self) -> int | None:
        """Steps of a mask's ramp: those of the line, or of the step that implies this one."""
        return self.step.over if self.step is not None else self.inherited_over

    def where(self, part: str) -> Span | None:
        """The place of an option or a size of the step; of an implied one, of what implies it."""
        return self.step.where(part) if self.step is not None else self.span


def axis_of(growth: Growth, family: Family, sizes: Mapping[str, int]) -> str:
    """The axis a word names, transformers' config keys included. Raises GP101."""
    word = growth.axis
    aliases = axis_aliases(family)
    axis = aliases.get(word, word)
    if axis in sizes:
        return axis
    known = sorted(axis for axis in sizes if axis in GROWABLE)
    close = get_close_matches(word, [*known, *aliases], 1)
    fail(
        "GP101",
        f"`{word}` is not an axis of the {family.name} family",
        growth.place("axis"),
        help=[*(f"did you mean `{c}`?" for c in close), f"axes: {', '.join(known)}"],
    )


def axis_aliases(family: Family) -> dict[str, str]:
    """Config keys as axis words: `n_embd` is `hidden` in GPT-2."""
    keys = {key: rule.axis for rule in family.sizes for key in (rule.key, *rule.also) if key}
    return {**keys, **family.aliases}


def relations_in_force(model: Model) -> tuple[Relation, ...]:
    """Equations of the family, and its `keeps` where they hold in the source."""
    return (*model.family.equations, *kept_equations(model.family, model.sizes))


def holds(relation: Relation, sizes: Mapping[str, int]) -> bool:
    """Whether both sides of a relation have one value."""
    left, right = relation
    return evaluate_size(left, sizes) == evaluate_size(right, sizes)


def open_relations(relations: tuple[Relation, ...], sizes: Mapping[str, int]) -> tuple[Relation, ...]:
    """The relations that these sizes do not satisfy."""
    return tuple(r for r in relations if not holds(r, sizes))


def solve(relation: Relation, axis: str, sizes: Mapping[str, int]) -> Fraction | None:
    """The size of `axis` that makes the relation hold; each side is a product of axes."""
    left, right = relation
    if axis in size_names(right):
        left, right = right, left
    if axis not in size_names(left):
        return None
    rest = evaluate_size(left, {**sizes, axis: 1})
    return Fraction(evaluate_size(right, sizes)) / Fraction(rest)


def new_size(
    growth: Growth, axis: str, model: Model, relations: tuple[Relation, ...], ways: tuple[str, ...] = ()
) -> int:
    """The size a step gives to an axis; `ways` are others than a size to say it. Raises GP102 to GP105."""
    old = model.sizes[axis]
    if growth.source is not None and growth.source != old:
        fail(
            "GP102",
            f"the plan says `{axis}` is {growth.source}, and it is {old} at this step",
            growth.place("source"),
            help=f"write `{axis} {old}→…`, or leave the size on the left out",
        )
    if growth.to is not None:
        new = growth.to
    elif growth.by is not None:
        new = old * growth.by
    else:
        new = _implied_size(growth, axis, model.sizes, relations, ways)
    if new < old:
        fail(
            "GP104",
            f"`{axis}` cannot shrink from {old} to {new}: a plan only grows",
            growth.place("to"),
            help=f"give a size above {old}",
        )
    largest = DEEPEST if axis == "depth" else LARGEST
    if new > largest:
        fail(
            "GP106",
            f"`{axis}` {new} is past any real model",
            growth.place("to"),
            help=f"at most {largest}; `x2` is a factor, `to 2` a size",
        )
    return new


def _implied_size(
    growth: Growth,
    axis: str,
    sizes: Mapping[str, int],
    relations: tuple[Relation, ...],
    ways: tuple[str, ...],
) -> int:
    """The size that closes an open equation naming the axis."""
    for relation in open_relations(relations, sizes):
        value = solve(relation, axis, sizes)
        if value is not None:
            return whole(value, axis, relation, sizes, growth.span)
    fail(
        "GP105",
        f"no size for `{axis}`, and no open equation that would give one",
        growth.span,
        help=(f"write `{axis} {sizes[axis]}→N`, or `{axis} x2`", *ways),
    )


def whole(value: Fraction, axis: str, relation: Relation, sizes: Mapping[str, int], span: Span | None) -> int:
    """`value` as a size. Raises GP107 with the nearest sizes that would close the equation."""
    if value.denominator == 1 and value >= 1:
        return int(value)
    left, right = relation
    unit = max(1, evaluate_size(right, {**sizes, axis: 1}))
    total = evaluate_size(left, sizes)
    below = int(total // unit)
    counts = [count for count in (below, below + 1) if count >= sizes[axis]] or [sizes[axis]]
    fail(
        "GP107",
        f"{left} = {right} has no whole solution: {total} is no multiple of {unit}",
        span,
        help=f"use {left} {' or '.join(str(count * unit) for count in counts)}",
    )
