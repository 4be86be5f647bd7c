"""Codes of fitting a learned operator: GP53x."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP531": Code(
        what="There is too little data to fit an operator on.",
        why=(
            "A fit draws windows of `tokens` tokens from most of a text and measures the loss on the rest, "
            "which is never drawn. So there must be a window of each kind, no longer than the model reads; "
            "of images, one to draw and one to hold out."
        ),
        fix="Give more data, or shorter windows by `tokens N`.",
    ),
    "GP532": Code(
        what="transformers has no class that could compute the loss of the grown model.",
        why=(
            "An operator is fitted on the loss of the target, computed by the transformers class that "
            "will load it. That class must exist, take the config of the model after the step, and have "
            "one parameter for each tensor on disk, or for the rows of several (the experts of a mixture)."
        ),
        fix=(
            "Name in one step every axis that must change together, so that the model after it is one "
            "that loads; for a class whose parameters are no rows of its tensors, use a static method."
        ),
    ),
    "GP533": Code(
        what="The transformers class recomputes its blocks by itself.",
        why=(
            "Its gradient checkpointing runs a block again during the backward pass. By then the "
            "parameters that the operator made are no longer in place, so that the gradients would be "
            "those of other weights, at the same loss and without an error."
        ),
        fix="Take `gradient_checkpointing` out of config.json; to save memory, use `checkpoint blocks`.",
    ),
    "GP534": Code(
        what="The loss or its gradient is no longer finite while an operator is fitted.",
        why=(
            "Before the first step this says that the source, or the operator it begins with, gives no "
            "finite output. Later it says that a step was too long. Nothing was written to the target."
        ),
        fix="Lower `lr`, lengthen `warmup`, clip lower; look at the source where it happens at once.",
    ),
    "GP535": Code(
        what="An interrupted fit cannot be taken up.",
        why=(
            "The state of a fit goes on to the same result only with the plan, source, family file, data, "
            "device, number of threads and of processes, and versions that it began with."
        ),
        fix="Restore what changed, or run without `--resume`: the fit starts anew.",
    ),
    "GP540": Code(
        what="An operator cannot begin as the method that `init` names.",
        why=(
            "`init METHOD` takes the maps of a static method and learns from there. Methods that learn "
            "themselves, that need data, or that neither widen nor add layers have none."
        ),
        fix="Name a static method, e.g. `init fpi`, or leave `init` out for the published inits.",
    ),
    "GP541": Code(
        what="Options of a learned step that say nothing beside each other.",
        why=(
            "LiGO's own form begins by `depth-init`, `width-init` and `noise`, in one of two orders. With "
            "`init METHOD` the operator is the general one, which begins as that method's step, blends "
            "layers first, and may have a `residual`."
        ),
        fix="Take out one of the two, as the help says.",
    ),
    "GP542": Code(
        what="The method that an operator is to begin as does not do what the step asks.",
        why=(
            "The start is typed like a step of its own: every axis of width at once, then the layers. "
            "The method must grow all of these axes, to these sizes, in this model."
        ),
        fix="Begin as one of the methods that the help names, or grow to other sizes.",
    ),
    "GP543": Code(
        what="Without a residual the operator cannot begin as the method.",
        why=(
            "An operator makes every tensor by products of old ones. Fresh units, noise, units of another "
            "layer and blocks that add nothing are no such products: they begin in learned values that "
            "are added, which `residual none` leaves out."
        ),
        fix="Take `residual none` out, or begin as a method of copies alone.",
    ),
    "GP536": Code(
        what="The fit made the loss on held-out data larger.",
        why=(
            "The loss is measured before the first step and after the last, on data that no step draws. "
            "A rate that is too high does this, or so little data that the operator learns it by heart."
        ),
        fix="Lower `lr`, lengthen `warmup`, give more data, or fewer steps. The checkpoint was written.",
    ),
    "GP545": Code(
        what="The blocks of this model cannot be run one by one.",
        why=(
            "`checkpoint blocks` and `--shard` make the weights of a block when it runs and make them again "
            "for its gradient. For that the transformers class must hold its layers in one list, in order."
        ),
        fix="Fit it without; `accumulate N` spares the memory of activations.",
    ),
    "GP537": Code(
        what="Weights that one tensor ring sums up are stored in several dtypes.",
        why=(
            "Every block that `mango` makes is a sum of all blocks of its group, in every layer: there is no "
            "one dtype that it would be stored in."
        ),
        fix="Convert the checkpoint to one dtype, or use `via ligo`, which sums up tensors of one name.",
    ),
    "GP546": Code(
        what="An operator is to be cut over processes, and there is one.",
        why=(
            "`--shard` keeps a piece of the operator and of the source on each process of torchrun, for "
            "models that are too large for one."
        ),
        fix=(
            "Start it by `torchrun --nproc-per-node N -m growplan apply … --shard`; on one device, "
            "`checkpoint blocks` spares memory."
        ),
    ),
    "GP554": Code(
        what="The sequences of a fit are shorter than `tokens` says.",
        why="A model with learned positions reads as many tokens as it has, and not one more.",
        fix="Write the number that it reads, or grow `positions` in a step before.",
    ),
    "GP555": Code(
        what="A fit has dropout on, and the model has none.",
        why=(
            "`recipe published` trains as LiGO's command does, with the dropout of the model's config. Where "
            "every rate there is 0, it changes nothing."
        ),
        fix="Write `dropout none`, or set the rates in the source's config.json.",
    ),
}
