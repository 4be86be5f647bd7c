"""Codes of a run by several processes: GP550 to GP553."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP550": Code(
        what="The processes of a run see different plans, sources, data or versions.",
        why=(
            "Under torchrun every process reads the plan, the source and the data by itself, and their "
            "gradients are added up. From different files they would fit an operator that belongs to none."
        ),
        fix="Give every machine the same files and the same versions; a shared disk does.",
    ),
    "GP551": Code(
        what="Another process of this run has ended, or cannot be reached.",
        why=(
            "A fit needs every process in each of its steps. One that was killed (the system does this where "
            "memory runs out) stops them all; nothing was written to the target."
        ),
        fix="Look at what the others printed; then run again with `--resume`, which goes on with the fit.",
    ),
    "GP552": Code(
        what="There is no GPU for each process on a machine.",
        why="Processes that share a GPU would hold every weight twice on it, and nccl does not allow it.",
        fix="Start as many processes as there are GPUs, with `--device cuda`; or use `--device cpu`.",
    ),
    "GP553": Code(
        what="Several processes were started for a plan that one works through.",
        why=(
            "Under torchrun the processes share a fit: each reads a part of every batch. A plan "
            "without a fitted step is written by the first of them, while the others wait."
        ),
        fix="Run it without torchrun. The checkpoint was written, and is the same.",
    ),
}
