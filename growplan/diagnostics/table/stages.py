"""Codes of plans with stages: GP538, GP539, GP594 to GP599."""

from __future__ import annotations

from growplan.diagnostics.codes import Code

CODES = {
    "GP538": Code(
        what="The warm-up of a stage is as long as its training.",
        why="The rate begins at 0 in each stage and would only just reach `lr`, or not at all.",
        fix="Shorten `warmup`, or train the stage longer.",
    ),
    "GP539": Code(
        what="A pattern of `train-only` or `freeze` matches no name of the checkpoint.",
        why=(
            "Patterns are held against the names of parameters in memory, which for some families are others "
            "than those on disk, and `check` knows the latter alone."
        ),
        fix="Check the pattern; `growplan train` stops before the stage where it matches nothing.",
    ),
    "GP594": Code(
        what="A plan with stages was given where one growth is asked for.",
        why="Between its stages the model is trained, so that no one rewrite of tensors stands for the plan.",
        fix="Run it by `growplan train PLAN`, or apply the growth of one stage: `--stage NAME --from DIR`.",
    ),
    "GP595": Code(
        what="The training of a stage lacks its length or its data.",
        why="A stage trains for so many steps or tokens, on data that it or the plan's own `train` names.",
        fix="Write `for N steps` or `for N tokens`, and `on FILE`.",
    ),
    "GP596": Code(
        what="A growth mask is not gone when the training of its stage ends.",
        why=(
            "Masks rise while their stage is trained, and the next stage grows a plain model. A mask that is "
            "taken away below 1 would make the function jump."
        ),
        fix="Let it rise faster (`over N steps`, `delay`), or train the stage longer.",
    ),
    "GP597": Code(
        what="There is no stage of this name, or none that could be applied.",
        why="`--stage` names one of the plan's stages, and one that grows something.",
        fix="Use one of the names that the message lists.",
    ),
    "GP598": Code(
        what="A checkpoint is not the model that a stage begins with.",
        why=(
            "Each stage of a plan grows the model that the stage before it has left. From any other, the "
            "stages after it would not be what `growplan check` said of them."
        ),
        fix="Give the checkpoint that the stage before has trained, or change the plan's sizes.",
    ),
    "GP599": Code(
        what="A stage does nothing.",
        why="A stage grows the model, or trains it, or both.",
        fix="Give it steps of growth or a training, or take it out.",
    ),
}
