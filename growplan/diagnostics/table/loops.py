"""Codes of growth inside a user's own loop: GP622 to GP629."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP622": Code(
        what="A running average of the weights cannot be grown as the model is.",
        why=(
            "The plan learns weights from data or from the model's layers. From the average it would learn "
            "others, and the average would no longer be one of the weights that are trained."
        ),
        fix="Grow the model alone, and begin the average anew on the grown model.",
    ),
    "GP623": Code(
        what="`growplan.runtime.grow` was given something that is no model of transformers.",
        why="The model is written as a checkpoint, and grown as `growplan apply` grows one.",
        fix="Give the `PreTrainedModel` itself; save any other model in a layout that a family describes.",
    ),
    "GP624": Code(
        what="A scheduler was given to `growplan.runtime.grow` that is not of the optimizer given.",
        why="It goes on from where it stands on the new optimizer, and would move the rates of another one.",
        fix="Give the optimizer and the scheduler of the loop together.",
    ),
    "GP625": Code(
        what="A training of transformers' Trainer cannot be grown at the step that a `GrowthCallback` names.",
        why=(
            "It grows the Trainer's checkpoint of that very step, with the optimizer's state in it. A "
            "training that begins behind the step, or ends before it, has no such checkpoint."
        ),
        fix="Let the training reach the step, with its optimizer saved, before the grown checkpoint is used.",
    ),
    "GP626": Code(
        what="`LightningGrowth` was given a training that it cannot follow.",
        why="Masks and frozen parts are functions of Lightning's global step, which must be one optimizer's.",
        fix="Use automatic optimization with one optimizer, or call `masks.step()` in the module.",
    ),
}
