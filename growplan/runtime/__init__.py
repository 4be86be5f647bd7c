"""What lives in a training loop: growth masks that rise, and the optimizer's state carried through a growth.

`attach(model, directory)` puts the masks of a grown checkpoint into the model that `from_pretrained`
gave, as hooks: parameters and their names stay as they are. Everything that changes in training is a
function of the growth state beside the checkpoint and of the number of optimiser steps done.

    rules = growplan.load("plan.grow.yaml").moments()
    growplan.runtime.grow_optimizer(rules, old_model, old_optimizer, new_model, new_optimizer)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from growplan.runtime.adam import Moments, grow_moments
    from growplan.runtime.attached import Attached, attach
    from growplan.runtime.callback import FreezeCallback, MaskCallback, RewarmCallback, SubModelCallback
    from growplan.runtime.freezing import Frozen, freeze, selected, training_only
    from growplan.runtime.lightning_callback import LightningGrowth
    from growplan.runtime.optimizer import grow_optimizer
    from growplan.runtime.ramps import value_at
    from growplan.runtime.rewarm import Rewarm
    from growplan.runtime.state import GrowthState, read_state
    from growplan.runtime.trainer_files import record_frozen
    from growplan.runtime.two_stage import SubModels
    from growplan.training.boundary import GrowthCallback
    from growplan.training.grow import Grown, grow

_NAMES = {  # imported when first used: reading a state needs no torch, attaching no Trainer
    "Attached": ".attached",
    "FreezeCallback": ".callback",
    "Frozen": ".freezing",
    "GrowthCallback": "growplan.training.boundary",
    "GrowthState": ".state",
    "LightningGrowth": ".lightning_callback",
    "MaskCallback": ".callback",
    "Moments": ".adam",
    "SubModelCallback": ".callback",
    "SubModels": ".two_stage",
    "Rewarm": ".rewarm",
    "RewarmCallback": ".callback",
    "attach": ".attached",
    "freeze": ".freezing",
    "Grown": "growplan.training.grow",
    "grow": "growplan.training.grow",
    "grow_moments": ".adam",
    "grow_optimizer": ".optimizer",
    "read_state": ".state",
    "selected": ".freezing",
    "training_only": ".freezing",
    "record_frozen": ".trainer_files",
    "value_at": ".ramps",
}
__all__ = [
    "Attached",
    "FreezeCallback",
    "Frozen",
    "Grown",
    "GrowthCallback",
    "GrowthState",
    "LightningGrowth",
    "MaskCallback",
    "Moments",
    "Rewarm",
    "RewarmCallback",
    "SubModelCallback",
    "SubModels",
    "attach",
    "freeze",
    "grow",
    "grow_moments",
    "grow_optimizer",
    "read_state",
    "record_frozen",
    "selected",
    "training_only",
    "value_at",
]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NAMES[name], __name__), name)
