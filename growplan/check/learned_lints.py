"""Lints about learned operators: too large for what they make, and those about how they are fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isqrt

from growplan.check.cost import cost
from growplan.check.layouts import layout
from growplan.check.recipe_lints import recipe_lints
from growplan.check.start import not_products
from growplan.check.typed import TypedStep
from growplan.diagnostics import Diagnostic


def learned_lints(steps: Sequence[TypedStep]) -> Iterator[Diagnostic]:
    """GP920, and what is to be said of recipes, each at the first step that it holds of."""
    learned = [step for step in steps if step.operator is not None]
    heavy = next((s for s in learned if s.fit_cost is not None and s.fit_cost.share > 1), None)
    if heavy is not None and heavy.fit_cost is not None and heavy.operator is not None:
        yield Diagnostic(
            "GP920",
            f"the operator has {heavy.fit_cost.share:.2g} times the parameters of the model it makes",
            heavy.span,
            help=tuple(_lighter(heavy)) or ("grow less in one step",),
            severity="warning",
        )
    yield from recipe_lints(learned)


def _fewer(step: TypedStep) -> Iterator[int]:
    """The most bonds of a ring, less than it has, with which it is no larger than the model it makes."""
    of = step.operator
    assert of is not None
    one = replace(of, ranks=(1,) * len(of.ranks))
    numbers = sum(layout(step.before, step.after, one).parts.values()) if of.ranks else 0
    most = isqrt(cost(step.after).parameters // numbers) if numbers else 0
    if 0 < most < max(of.ranks, default=0):
        yield most


def _lighter(step: TypedStep) -> Iterator[str]:
    """Options under which the operator would have no more parameters than the model it makes."""
    of = step.operator
    assert of is not None
    shared, plain = replace(of, tying="shared"), replace(of, residual=False)
    tries = [("`tying shared`: one operator for all layers", shared)]
    tries += [(f"`rank {bonds}`", replace(of, ranks=(bonds,) * len(of.ranks))) for bonds in _fewer(step)]
    if of.start and not not_products(step.start):
        tries += [("`residual none`: copies need nothing added to them", plain)]
        tries += [("`tying shared, residual none`", replace(plain, tying="shared"))]
    if of.start:
        own = replace(shared, kind="ligo", start=None)
        tries += [(f"take `init {of.start}` out: LiGO's own form, with `tying shared`", own)]
    for words, changed in tries:
        numbers = sum(layout(step.before, step.after, changed).parts.values())
        if changed != of and numbers <= cost(step.after).parameters:
            yield words
