"""`staged`: twice the width in blocks (Shen et al., Staged Training, arXiv 2203.06211).

rewrite:   x : n   ->   [x ; x] : 2 n      hidden, heads and ffn at once
           W       ->   [W 0 ; 0 W]

Each copy of an output reads its own copy of the input, so nothing is divided: matrices become
block-diagonal (a fused projection in each of its parts), biases and norms are tiled, and a tied
head divides the last norm by two. An output that is not copied (a classifier's) reads both
copies evenly.
"""

from __future__ import annotations

from growplan.diagnostics import fail
from growplan.methods.base import Ask, Candidate, Claim, Method, WidthRequest
from growplan.methods.bert2bert import circular_maps
from growplan.methods.support.heads import laid_out

WHOLE = ("hidden", "heads", "kv_heads", "ffn")


class Staged(Method):
    """Two copies side by side that do not see each other yet."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("exact")

    def widen(self, request: WidthRequest) -> list[Candidate]:
        _check_whole(request)
        return [Candidate("block-diagonal copies", circular_maps(request), "own")]


def _check_whole(request: WidthRequest) -> None:
    """GP232 unless every width of the model doubles in this step."""
    axes = [axis for axis in WHOLE if axis in request.sizes]
    doubled = {axis: (request.sizes[axis], 2 * request.sizes[axis]) for axis in axes}
    if dict(request.grow) == doubled:
        return
    wrong = next(axis for axis in axes if request.grow.get(axis) != doubled[axis])
    old, new = request.grow.get(wrong, (request.sizes[wrong],) * 2)
    whole = ", ".join(f"{axis} {old}→{new}" for axis, (old, new) in doubled.items())
    help = [f"write `grow {whole} via staged`"]
    if laid_out(request.grow, request.sizes):
        multiples = all(new % old == 0 for old, new in request.grow.values())
        clones = "`via hypercloning`, which grows axes one by one"
        help.append(f"or {clones if multiples else '`via lemon`, which takes any size'}")
    fail(
        "GP232",
        f"`staged` doubles every width in one step, and here `{wrong}` goes {old}→{new}",
        help=help,
    )


METHOD = Staged(
    name="staged",
    title="twice the width, block-diagonal: each copy reads its own",
    paper="Staged Training arXiv 2203.06211",
    axes=WHOLE,
    verbs=("grow",),
)
