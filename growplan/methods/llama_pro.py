"""`llama-pro`: LLaMA Pro's block expansion (arXiv 2401.02415, section 3.2; `block_expansion.py`).

rewrite:   h.0 .. h.{L-1}   ->   after every L / (L* - L) layers a copy of the layer just passed,
           with the projections that write the residual stream (o_proj, down_proj) set to zero

           L = 4, L* = 6:   h.0 h.1 h.1' h.2 h.3 h.3'      (' silent)

Exact under pre-norm. The port asserts that L* - L divides L, and so does this method; `identity`
takes any depth. The paper then trains the new blocks alone and freezes all others.
`place start` and `place end` are the prefix and suffix stacking of the paper's ablation.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.methods.base import Ask, Claim, LayerSource, Method, OptionValue
from growplan.methods.support.layers import PLACE, no_depth, placed


class LlamaPro(Method):
    """One silent block after every group of layers."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("approximate" if ask.post_norm else "exact")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        extra = new - old
        if extra and old % extra:
            legal = (old + count for count in range(1, old + 1) if old % count == 0)
            why = "puts one block after every L / (L* - L) layers, a whole number"
            no_depth("llama-pro", why, old, new, legal, "via identity")
        return placed(old, new, options)


METHOD = LlamaPro(
    name="llama-pro",
    title="a silent copy after every L / (L* - L) layers",
    paper="LLaMA Pro arXiv 2401.02415",
    verbs=("deepen",),
    options=(PLACE,),
    training="LLaMA Pro trains the new blocks alone: all old weights stay frozen, norms included",
)
