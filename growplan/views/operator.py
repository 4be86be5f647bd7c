"""What a step fits, as a reader sees it: numbers, share, cost of the fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from growplan.check.learned import as_read
from growplan.check.typed import TypedStep
from growplan.views import numbers


def operator_facts(step: TypedStep) -> Iterator[tuple[str, str]]:
    """The operator's numbers and their share of the target; the fit, its FLOPs and memory."""
    operator, cost = step.operator, step.fit_cost
    if operator is None or cost is None:
        return
    parts = ", ".join(f"{count:,} of {word}" for word, count in cost.parts)
    share = f"{cost.share:.1%} of the target's"
    yield "learn", f"{numbers.count(cost.parameters)} parameters ({parts}), {share}"
    recipe = as_read(operator.recipe, step.after)
    images = step.after.inputs == "image"
    batch = f"{recipe.batch} images" if images else f"{recipe.batch} × {recipe.tokens} tokens"
    rate = f"rate {recipe.lr:g} after {recipe.warmup} steps of warm-up"
    yield "fit", f"{recipe.steps} steps of {batch}, {rate}" + ", dropout on" * recipe.dropout
    made = f"{cost.materialise:.0%} of them to make weights"
    memory = numbers.size(cost.memory) + ", block by block," * (recipe.checkpoint == "blocks")
    yield "", f"{numbers.flops(cost.flops)} FLOPs, {made}; {memory} and activations"


def operator_data(step: TypedStep) -> dict[str, Any] | None:
    """A learned step's operator as plain values; None for other steps."""
    if step.operator is None or step.fit_cost is None:
        return None
    leaves = [{"name": leaf.name, "shape": list(leaf.shape), "init": leaf.init} for leaf in step.leaves]
    cost = {**asdict(step.fit_cost), "parts": dict(step.fit_cost.parts)}
    return {**asdict(step.operator), "data": step.data, "cost": cost, "leaves": leaves}


def predictor_facts(step: TypedStep) -> Iterator[tuple[str, str]]:
    """The networks that predict layers, what they learn from, and what that costs."""
    predictor, cost = step.predictor, step.predictor_cost
    if predictor is None or cost is None:
        return
    networks = numbers.plural(cost.networks, "network")
    yield (
        "learn",
        f"{networks} for as many matrices, {numbers.count(cost.parameters)} parameters in all",
    )
    least = f"{predictor.updates:,} updates of {predictor.batch} rows at least"
    triples = numbers.plural(step.before.depth - 2, "triple")
    yield "fit", f"on {triples} of the source's layers, {numbers.plural(predictor.epochs, 'epoch')}, {least}"
    yield "", f"{numbers.flops(cost.flops)} FLOPs, {numbers.size(cost.memory)}"


def predictor_data(step: TypedStep) -> dict[str, Any] | None:
    """How a step predicts layers, as plain values; None for other steps."""
    if step.predictor is None or step.predictor_cost is None:
        return None
    return {**asdict(step.predictor), "cost": asdict(step.predictor_cost)}
