"""Lints about how an operator is fitted: too little to move, or as its model does not read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace

from growplan.check.learned import as_read
from growplan.check.typed import TypedStep
from growplan.diagnostics import Diagnostic
from growplan.methods.base import Recipe
from growplan.methods.support.recipe import PUBLISHED

STILL = 3e-3  # rates that add up to less than this leave an operator about where it began
RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
STEPS = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


def recipe_lints(learned: Sequence[TypedStep]) -> Iterator[Diagnostic]:
    """GP921, GP554 and GP555, each at the first learned step that it holds of."""
    still = next((s for s in learned if 0 < rates(_recipe(s)) < STILL), None)
    if still is not None:
        recipe = _recipe(still)
        yield Diagnostic(
            "GP921",
            f"rates of {rates(recipe):.1g} in all ({recipe.steps} steps, {recipe.warmup} of them warm-up, "
            f"{recipe.lr:g} at most) leave the operator about where it begins",
            still.span,
            help=tuple(_faster(recipe)) or ("fit as it is by default: take its `lr` and its steps out",),
            severity="warning",
        )
    cut = next((s for s in learned if as_read(_recipe(s), s.after) != _recipe(s)), None)
    if cut is not None:
        longest = as_read(_recipe(cut), cut.after).tokens
        message = f"sequences of {_recipe(cut).tokens} tokens are cut to the {longest} that the model reads"
        ways = (f"`tokens {longest}` says so", "or grow `positions` before it")
        yield Diagnostic("GP554", message, cut.span, help=ways, severity="note")
    none = next((s for s in learned if _recipe(s).dropout and _undropped(s.after.config)), None)
    if none is not None:
        message = "the recipe has dropout on, and the model's config has none: every rate is 0"
        ways = ("`dropout none` says so", "or set its rates in the source's config.json")
        yield Diagnostic("GP555", message, none.span, help=ways, severity="note")


def rates(recipe: Recipe) -> float:
    """The learning rates of a fit, added up: how far Adam can take a number, about.

    The rise over the warm-up is linear; a fall after it is counted as half.
    """
    rising = min(recipe.steps, recipe.warmup)
    risen = recipe.lr * rising * (rising + 1) / (2 * recipe.warmup) if recipe.warmup else 0.0
    high = 1.0 if recipe.schedule == "constant" else 0.5
    return risen + recipe.lr * (recipe.steps - rising) * high


def _recipe(step: TypedStep) -> Recipe:
    assert step.operator is not None
    return step.operator.recipe


def _faster(recipe: Recipe) -> Iterator[str]:
    """Changes of one option each, after which the operator moves."""
    ours = {f.name: getattr(Recipe(), f.name) for f in fields(Recipe) if f.name != "steps"}
    same = {name: value for name, value in ours.items() if getattr(recipe, name) == getattr(PUBLISHED, name)}
    if recipe.name == "published" and rates(replace(recipe, **same)) >= STILL:
        yield "`recipe growplan`"
    shorter = recipe.steps // 10
    if recipe.warmup > shorter and rates(replace(recipe, warmup=shorter)) >= STILL:
        yield f"`warmup {shorter}`"
    for rate in RATES:
        if rate > recipe.lr and rates(replace(recipe, lr=rate)) >= STILL:
            yield f"`lr {rate:g}`"
            break
    for steps in STEPS:
        if steps > recipe.steps and rates(replace(recipe, steps=steps)) >= STILL:
            yield f"`for {steps} steps`"
            break


def _undropped(config: Mapping[str, object]) -> bool:
    """Whether the config says of its rates that they are 0; where it says nothing, its class decides."""
    return bool(_rates_of_dropout(config)) and not dropout_keys(config)


def dropout_keys(config: Mapping[str, object]) -> dict[str, float]:
    """The config's rates of dropout inside the model that are above 0."""
    return {key: rate for key, rate in _rates_of_dropout(config).items() if rate > 0}


def _rates_of_dropout(config: Mapping[str, object]) -> dict[str, float]:
    named = {key: value for key, value in config.items() if "dropout" in key or key.endswith("pdrop")}
    return {
        key: float(value)
        for key, value in named.items()
        if not key.startswith("summary_") and isinstance(value, float | int)
    }
