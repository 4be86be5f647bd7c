"""The growth mask of a step as a reader sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from growplan.check.masks import in_experts
from growplan.check.typed import TypedStep
from growplan.methods.base import Claim

SHAPES = {"linear": "in a line", "cosine": "by a cosine"}


def mask_facts(step: TypedStep, plan: Claim, live: bool) -> Iterator[tuple[str, str]]:
    """How the mask rises, and whether a stock load is exact before. `plan`: the claim of the whole.

    A mask that a stock load could do without has to be attached where another of the plan has to be.
    """
    ramp = step.ramp
    if ramp is None or all(old == new for _, old, new in step.axes):
        return
    if not live:
        why = "no hook reaches units of experts" if in_experts(step) else "a later step moves its units"
        yield "mask", f"stays at 0: {why}; they learn as they are"
        return
    over = f"over {ramp.steps} steps" if ramp.steps is not None else "as the training sets it"
    after = f", {ramp.delay} steps later" if ramp.delay else ""
    exact = "exact with masks attached alone"
    if step.proof.claim.where == "stock":
        stock = plan.where == "stock"
        exact = (
            "a stock load is exact too" if stock else "exact with masks attached, as another step's must be"
        )
    yield "mask", f"0 to 1 {SHAPES[ramp.shape]} {over}{after}; at 0 {exact}"
    if step.attached is not None:
        yield "mask", "behind it norms weigh new units by it; their scale and epsilon are the old ones"


def mask_data(step: TypedStep) -> dict[str, Any] | None:
    """The ramp as plain values; None for steps without a mask."""
    return None if step.ramp is None else asdict(step.ramp)
