"""`net2net`: Net2WiderNet and Net2DeeperNet (Chen, Goodfellow, Shlens; arXiv 1511.05641).

rewrite:   x : n   ->   [x ; x[g]] : n*      g(j) uniform in 0:n
           W_out   ->   W_out[:, g(j)] / C(g(j))

Wider: the random map g and equal shares, exact on inner axes (ffn units, whole heads). On the
residual stream it is exact only where g happens to copy every unit equally often, since a
norm reads the whole stream. Deeper: an identity block, which in a residual network is a block
whose last projections are zero.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.algebra import Expansion
from growplan.methods.base import (
    NOISE,
    Ask,
    Candidate,
    Claim,
    LayerSource,
    Method,
    Option,
    OptionValue,
    WidthRequest,
    domain_of,
    noise_of,
    random_map,
)
from growplan.methods.support.heads import head_maps
from growplan.methods.support.layers import spread


class Net2Net(Method):
    """Random copies, identity blocks."""

    def claim(self, ask: Ask) -> Claim:
        if "depth" in ask.axes and ask.post_norm:
            return Claim("approximate")
        return Claim("exact", domain_of(ask.axes))

    def widen(self, request: WidthRequest) -> list[Candidate]:
        split, noise = str(request.options.get("split", "even")), noise_of(request.options)
        return [Candidate("random copies", random_maps(request), split, noise=noise)]

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        return spread(old, new)


def random_maps(request: WidthRequest) -> dict[str, Expansion]:
    """One random map g per axis; heads are whole units and stay in their kv group."""
    maps: dict[str, Expansion] = {}
    for axis in ("hidden", "ffn"):
        if axis in request.grow:
            maps[axis] = random_map(*request.grow[axis], f"{request.key}/{axis}")
    if {"heads", "kv_heads"} & set(request.grow):
        maps |= head_maps(
            request.grow, request.sizes, lambda old, new: random_map(old, new, f"{request.key}/heads")
        )
    return maps


METHOD = Net2Net(
    name="net2net",
    title="random copies with equal shares; identity blocks in depth",
    paper="Net2Net arXiv 1511.05641",
    axes=("hidden", "ffn", "heads", "kv_heads"),
    verbs=("widen", "deepen", "grow"),
    options=(
        Option("split", "even", "how the copies of a unit share its outgoing weights", ("even", "uneven")),
        NOISE,
    ),
)
