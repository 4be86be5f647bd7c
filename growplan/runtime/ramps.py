"""Masks as functions of the number of optimiser steps done."""

from __future__ import annotations

import math

from growplan.methods.base import UNSAID, Ramp


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
