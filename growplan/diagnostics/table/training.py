"""Codes of `growplan train`: GP61x."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP610": Code(
        what="The directory of a run holds something else.",
        why="A run keeps its stages and its history there, and `--force` deletes them: of nothing else.",
        fix="Choose another directory with `--out`, or empty it.",
    ),
    "GP611": Code(
        what="The plan, the source or the data changed since the run began.",
        why="What was trained so far came from others; a run that went on would be neither of the two.",
        fix=(
            "Give what the run began with; or begin it anew with `--force`; or move away the folders of the "
            "changed stage and of later ones: the run goes on from the stage before."
        ),
    ),
    "GP612": Code(
        what="`growplan train` was given a plan without stages.",
        why="A stage says what is trained, for how long and on what; a plan with steps alone only grows.",
        fix="Write `stages:`, or grow the model by `growplan apply`.",
    ),
    "GP613": Code(
        what="`accelerate` is not installed.",
        why="Stages are trained by transformers' Trainer, which needs it.",
        fix="Install it: `pip install 'growplan[trainer]'`.",
    ),
    "GP614": Code(
        what="A loss in training is not finite.",
        why="Training cannot go on from infinite weights; the last whole checkpoint is from before.",
        fix="Lower `lr`, lengthen `warmup` or clip gradients lower, and begin the stage anew.",
    ),
    "GP615": Code(
        what="A file of a run cannot be read or written.",
        why="A run goes on from what it left on the disk.",
        fix="Free some space, or restore the file; `--force` begins the run anew.",
    ),
    "GP616": Code(
        what="A stage goes on with another torch, device or number of threads than it began with.",
        why="Sums are rounded in another order there: the run stays right, and is not the same to the bit.",
        fix="Go on where it began, where the bytes matter.",
    ),
    "GP617": Code(
        what="`growplan train` was asked to run on another device than the first one.",
        why="transformers' Trainer takes the first device that it sees.",
        fix="Set CUDA_VISIBLE_DEVICES to the device, and give `--device cuda`.",
    ),
    "GP618": Code(
        what="`growplan train` was started by torchrun, in several processes.",
        why="It trains models that fit on one device, in one process; several would write the same run.",
        fix="Run it without torchrun; for larger models, `apply --stage` between trainings of your own.",
    ),
    "GP636": Code(
        what="What a run left on the disk is not there any more, or is another file by now.",
        why="The run goes on from it: from half of a checkpoint it would come to other numbers, or to none.",
        fix="Restore it; or move it away as the help says, and the run does that part again.",
    ),
}
