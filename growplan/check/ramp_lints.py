"""Lints about growth masks: ramps so short that the model jumps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import pi, sin

from growplan.check.masks import live_steps
from growplan.check.typed import TypedStep
from growplan.diagnostics import Diagnostic
from growplan.methods.base import UNSAID, Ramp

LARGEST = 0.02  # what a mask may move in a step without a jump: docs/runtime.md, "How long a ramp"


def ramp_lints(steps: Sequence[TypedStep]) -> Iterator[Diagnostic]:
    """GP630, once, with every mask that it holds of."""
    live = live_steps(steps)
    found = [step for step in steps if step.index in live and step.ramp and stride(step.ramp) > LARGEST]
    if not found:
        return
    moved = max(stride(step.ramp) for step in found if step.ramp is not None)
    names = ", ".join(f"`{step.id}`" for step in found)
    many = len(found) > 1
    yield Diagnostic(
        "GP630",
        f"the mask{'s' * many} of {names} move{'s' * (not many)} by {'up to ' * many}{moved:.2g} in a step: "
        "the model jumps before its new units have learned anything",
        found[0].span,
        help=(f"`over 1000 steps`, or more for a large model: the method's authors take {UNSAID}",),
        severity="warning",
    )


def stride(ramp: Ramp) -> float:
    """What a mask moves by in a step, at most: 1 / steps (linear), sin(pi / (2 steps)) (cosine)."""
    over = UNSAID if ramp.steps is None else ramp.steps
    return 1 / over if ramp.shape == "linear" else sin(pi / (2 * over))
