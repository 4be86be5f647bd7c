"""`bert2bert`: bert2BERT's function-preserving initialisation, FPI (arXiv 2110.07143).

rewrite:   x : n   ->   [x ; x[g]] : n*      one random g for the whole residual stream
           W       ->   W[g_out][:, g_in] / C_in

           h.j : L  ->   h.0 .. h.{L-1}, again, ..., then the top L* mod L layers

Norms are copied along g with scale and epsilon unchanged, as published: on the residual
stream that is exact where every unit is copied equally often, and approximate elsewhere.
Heads are whole units; their size stays. In depth (section 3.3, after widening) the stack is
repeated floor(L* / L) times and the rest is copied from its top; that preserves nothing.
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
    noise_of,
)
from growplan.methods.net2net import random_maps
from growplan.methods.support.heads import head_maps
from growplan.methods.support.layers import copies


class Bert2Bert(Method):
    """bert2BERT's FPI, and its stacking."""

    def claim(self, ask: Ask) -> Claim:
        if "depth" in ask.axes:
            return Claim("none")
        return Claim("approximate" if "hidden" in ask.axes else "exact")

    def widen(self, request: WidthRequest) -> list[Candidate]:
        circular = request.options.get("map", "random") == "circular"
        maps = circular_maps(request) if circular else random_maps(request)
        split, noise = str(request.options.get("split", "even")), noise_of(request.options)
        label = "circular copies" if circular else "random copies"
        return [
            Candidate(label, maps, split, noise=noise),
            Candidate(f"{label}, norms as published", maps, split, norms="indexed", noise=noise),
        ]

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        whole, rest = divmod(new, old)
        return copies((*[*range(old)] * whole, *range(old - rest, old)))


def circular_maps(request: WidthRequest) -> dict[str, Expansion]:
    """Copies in order, again and again, on every axis."""
    maps = {a: Expansion.circular(*request.grow[a]) for a in ("hidden", "ffn") if a in request.grow}
    if {"heads", "kv_heads"} & set(request.grow):
        maps |= head_maps(request.grow, request.sizes, Expansion.circular)
    return maps


METHOD = Bert2Bert(
    name="bert2bert",
    title="random copies with equal shares, norms copied along (FPI); approximate through a norm",
    paper="bert2BERT arXiv 2110.07143, section 3",
    axes=("hidden", "ffn", "heads", "kv_heads"),
    verbs=("widen", "stack", "grow"),
    options=(
        Option("map", "random", "which old unit a new one copies", ("random", "circular")),
        Option("split", "even", "how the copies of a unit share its outgoing weights", ("even", "uneven")),
        NOISE,
    ),
)
