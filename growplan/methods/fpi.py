"""`fpi`: function-preserving growth, whatever it takes (growplan's own default).

rewrite:   x : n   ->   [x ; x ; ...] or [x ; mean(x)] or [x ; 0] : n*

The residual stream (`hidden`) is widened by the first of these maps that every norm of the
family accepts; inner axes are circular copies whose outgoing weights are shared unevenly, so
that copies get different gradients. Sources: Net2Net (arXiv 1511.05641) for copies, LEMON
(arXiv 2310.07999) for mean rows and uneven shares, its section on RMSNorm for zero rows.
"""

from __future__ import annotations

from growplan.algebra import Expansion
from growplan.methods.base import Candidate, Claim, Method, Option, WidthRequest, domain_of
from growplan.methods.heads import head_maps


class Fpi(Method):
    """The compiler's own choice of maps."""

    def claim(self, axes: tuple[str, ...]) -> Claim:
        return Claim("exact", domain_of(axes))

    def widen(self, request: WidthRequest) -> list[Candidate]:
        split = str(request.options.get("split", "uneven"))
        init = str(request.options.get("init", "like"))
        inner = inner_maps(request)
        if "hidden" not in request.grow:
            label = "copies" if set(request.grow) - {"vocab", "positions"} else "fresh rows"
            return [Candidate(label, inner, split, init)]
        return [
            Candidate(label, {**inner, "hidden": e}, split, init)
            for label, e in stream_maps(*request.grow["hidden"])
        ]


def stream_maps(old: int, new: int) -> list[tuple[str, Expansion]]:
    """Maps of a residual stream in order of preference."""
    if new == old:
        return [("unchanged", Expansion.identity(old))]
    out = []
    if new % old == 0:
        out.append(("even copies", Expansion.circular(old, new)))
    else:
        out.append(("mean rows", Expansion.padded(old, new, "mean")))
    out.append(("zero rows", Expansion.appended(old, new, "zero")))
    return out


def inner_maps(request: WidthRequest) -> dict[str, Expansion]:
    """Circular copies of ffn units and heads; new vocabulary and positions are free."""
    maps: dict[str, Expansion] = {}
    for axis, (old, new) in request.grow.items():
        if axis == "ffn":
            maps[axis] = Expansion.circular(old, new)
        elif axis in ("vocab", "positions"):
            maps[axis] = Expansion.appended(old, new, "free")
    if {"heads", "kv_heads"} & set(request.grow):
        maps |= head_maps(request.grow, request.sizes, Expansion.circular)
    return maps


METHOD = Fpi(
    name="fpi",
    title="function-preserving growth: even copies, mean rows or zero rows, whichever the norms accept",
    paper="Net2Net arXiv 1511.05641; LEMON arXiv 2310.07999",
    axes=("hidden", "ffn", "heads", "kv_heads", "vocab", "positions"),
    verbs=("widen", "grow"),
    options=(
        Option("split", "uneven", "how the copies of a unit share its outgoing weights", ("uneven", "even")),
        Option("init", "like", "how fresh units are drawn: `like` the old ones, or `normal(STD)`"),
    ),
)
