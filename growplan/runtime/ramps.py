"""Masks as functions of the number of optimiser steps done."""

from __future__ import annotations

import math

from growplan.methods.base import Ramp

UNSAID = 5000  # steps of a ramp that no plan says: MSG's own default (arXiv 2305.02869, `grow_time`)


def value_at(ramp: Ramp, step: int) -> float:
    """The mask after `step` optimiser steps: 0 up to the delay, 1 from the ramp's end on, exactly.

    With t = (step - delay) / steps: t (linear), or (1 - cos(pi t)) / 2.
    """
    over = UNSAID if ramp.steps is None else ramp.steps
    done = step - ramp.delay
    if done <= 0:
        return 0.0
    if done >= over:
        return 1.0
    part = done / over
    return part if ramp.shape == "linear" else (1 - math.cos(math.pi * part)) / 2


def end_of(ramp: Ramp) -> int:
    """The step from which on the mask is 1."""
    return ramp.delay + (UNSAID if ramp.steps is None else ramp.steps)
