"""What lives in a training loop: the optimizer's state carried through a growth.

    rules = growplan.load("plan.grow.yaml").moments()
    growplan.runtime.grow_optimizer(rules, old_model, old_optimizer, new_model, new_optimizer)

Importing this package imports torch, and transformers only where a function needs it.
"""

from __future__ import annotations

from growplan.runtime.adam import Moments, grow_moments
from growplan.runtime.optimizer import grow_optimizer

__all__ = ["Moments", "grow_moments", "grow_optimizer"]
