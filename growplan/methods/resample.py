"""`resample`: position embeddings of a larger image, interpolated over the grid of patches.

rewrite:   [tokens ; P : g·g]   ->   [tokens ; bicubic(P) : g*·g*]

What ViT's authors do before fine-tuning at a higher resolution (arXiv 2010.11929, section 3.2), as
transformers' `interpolate_pos_encoding` computes it: torch's bicubic interpolation with
align_corners=False. The tokens before the patches keep their rows. An image of another size is
another input, so nothing is preserved.
"""

from __future__ import annotations

from growplan.methods.base import Ask, Candidate, Claim, Grid, Method, WidthRequest


class Resample(Method):
    """Positions of a larger grid, interpolated."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def widen(self, request: WidthRequest) -> list[Candidate]:
        old, new = request.grow["grid"]
        if old == new:
            return [Candidate("unchanged", {})]
        kept = request.sizes["positions"] - old * old
        return [Candidate("bicubic", {}, grid=Grid("positions", kept, old, new))]


METHOD = Resample(
    name="resample",
    title="position embeddings of a larger image, interpolated (bicubic)",
    paper="ViT arXiv 2010.11929, section 3.2",
    axes=("positions", "image", "grid"),
    verbs=("widen", "grow"),
    grids=True,
    training="ViT is fine-tuned at the new size with SGD (momentum 0.9), a cosine and no weight decay",
)
