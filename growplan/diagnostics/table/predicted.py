"""Codes of layers that are predicted from a source's own: GP564 to GP566."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP564": Code(
        what="Too few layers to learn from.",
        why=(
            "`lesa` learns what lies between two layers from triples of the source's own layers: the "
            "middle one from the two around it. Fewer than three layers hold no triple."
        ),
        fix="Add layers by a method that copies them, such as `via interpolate`, or by `via identity`.",
    ),
    "GP565": Code(
        what="Layers cannot be predicted.",
        why=(
            "The weights of the source hold a number that is not finite, or a network that learns from them "
            "has diverged. Nothing was written."
        ),
        fix="Look at the source; where it is finite, lower `lr`.",
    ),
    "GP566": Code(
        what="New layers have no layer above them.",
        why=(
            "`lesa` predicts a layer from the two around it, one new layer after each of the old ones from "
            "`place` on. The last of them must have an old layer above it."
        ),
        fix="Lower `place`, or leave it out: new layers then stand as high as they can.",
    ),
}
