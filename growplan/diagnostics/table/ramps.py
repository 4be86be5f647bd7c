"""Codes of how growth masks rise: GP63x."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP630": Code(
        what="A growth mask rises in so few steps that the model jumps.",
        why=(
            "Behind the mask are units of any value, and a ramp of N steps lets 1/N of them in at each. "
            "Training must make them useful as fast as they come. The authors take 5000 steps; "
            "docs/runtime.md has what shorter ramps do to the loss."
        ),
        fix="Lengthen the ramp: `over 1000 steps`, or more for a large model. Small new units (`init`) help.",
    ),
}
