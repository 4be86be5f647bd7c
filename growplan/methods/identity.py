"""`identity`: new blocks that change nothing at first, spread through the stack.

rewrite:   h.0 .. h.{L-1}   ->   old blocks in order, each new one a copy of the block below it
           with every projection that writes the residual stream set to zero

Exact under pre-norm (LLaMA Pro, arXiv 2401.02415; StackingBERT's identity control); under
post-norm such a block still normalises, so it is no identity.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.methods.base import Ask, Claim, LayerSource, Method, Option, OptionValue


class Identity(Method):
    """Silent blocks."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("exact")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        if options.get("place", "spread") == "end":
            layers = [LayerSource(i) for i in range(old)]
            return (*layers, *(LayerSource(old - 1, silent=True) for _ in range(new - old)))
        return spread(old, new)


def spread(old: int, new: int) -> tuple[LayerSource, ...]:
    """Old layers in order; new block k of N = new - old follows old layer floor((k+1) L / N) - 1."""
    extra = new - old
    after = [0] * old
    for k in range(extra):
        after[max(0, (k + 1) * old // extra - 1)] += 1
    out: list[LayerSource] = []
    for layer, copies in enumerate(after):
        out.append(LayerSource(layer))
        out.extend(LayerSource(layer, silent=True) for _ in range(copies))
    return tuple(out)


METHOD = Identity(
    name="identity",
    title="inserted blocks with zero output projections",
    paper="LLaMA Pro arXiv 2401.02415",
    verbs=("deepen",),
    options=(
        Option(
            "place",
            "spread",
            "where new blocks go: spread through the stack, or at its end",
            ("spread", "end"),
        ),
    ),
)
