"""Lints about learned operators: too large for what they make, or fitted too little to move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from growplan.check.cost import cost
from growplan.check.layouts import layout
from growplan.check.start import not_products
from growplan.check.typed import TypedStep
from growplan.diagnostics import Diagnostic

STILL = 1e-2  # rates that add up to less than this leave an operator about where it began


def learned_lints(steps: Sequence[TypedStep]) -> Iterator[Diagnostic]:
    """GP920 and GP921, each at the first step that it holds of."""
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
    still = next((s for s in learned if 0 < rates(s) < STILL), None)
    if still is not None and still.operator is not None:
        recipe = still.operator.recipe
        yield Diagnostic(
            "GP921",
            f"rates of {rates(still):.1g} in all ({recipe.steps} steps, {recipe.warmup} of them warm-up, "
            f"{recipe.lr:g} at most) leave the operator about where it begins",
            still.span,
            help=("`recipe growplan`, or a shorter `warmup`, or more steps",),
            severity="warning",
        )


def _lighter(step: TypedStep) -> Iterator[str]:
    """Options under which the operator would have no more parameters than the model it makes."""
    of = step.operator
    assert of is not None
    shared, plain = replace(of, tying="shared"), replace(of, residual=False)
    tries = [("`tying shared`: one operator for all layers", shared)]
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


def rates(step: TypedStep) -> float:
    """The learning rates of a fit, added up: how far Adam can take a number, about.

    The rise over the warm-up is linear; the fall after it is counted as half.
    """
    if step.operator is None:
        return 0.0
    recipe = step.operator.recipe
    rising = min(recipe.steps, recipe.warmup)
    risen = recipe.lr * rising * (rising + 1) / (2 * recipe.warmup) if recipe.warmup else 0.0
    return risen + recipe.lr * (recipe.steps - rising) / 2
