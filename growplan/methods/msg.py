"""`msg`: new units behind a growth mask (Masked Structural Growth, arXiv 2305.02869).

rewrite:   x : n   ->   [x ; free] : n*      the consumer reads the new units through mask 0

New units are drawn like the old ones; the columns that read them are drawn too and multiplied
by a mask which the stored checkpoint holds at 0, so that the function is the old one. The mask
sits on the consumer's input columns, where it disturbs neither softmax nor group norms.
"""

from __future__ import annotations

from growplan.algebra import Expansion
from growplan.methods.base import Ask, Candidate, Claim, Method, Option, WidthRequest
from growplan.methods.support.heads import head_maps


class Msg(Method):
    """Masked new units."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("exact")

    def widen(self, request: WidthRequest) -> list[Candidate]:
        maps: dict[str, Expansion] = {}
        if "ffn" in request.grow:
            maps["ffn"] = free_units(*request.grow["ffn"])
        if {"heads", "kv_heads"} & set(request.grow):
            maps |= head_maps(request.grow, request.sizes, free_units)
        axis = "ffn" if "ffn" in request.grow else "heads"
        init = str(request.options.get("init", "like"))
        return [Candidate("masked units", maps, "even", init, masked=axis)]


def free_units(old: int, new: int) -> Expansion:
    """The old units, then units of any value."""
    return Expansion.appended(old, new, "free")


METHOD = Msg(
    name="msg",
    title="new units behind a growth mask of 0",
    paper="Masked Structural Growth arXiv 2305.02869",
    axes=("heads", "ffn"),
    verbs=("mask-in",),
    options=(Option("init", "like", "how new units are drawn: `like` the old ones, or `normal(STD)`"),),
)
