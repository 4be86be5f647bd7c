"""`gstack`: depthwise stacking by a factor g (Du et al., arXiv 2405.15319, algorithm 1; `stackingpt.py`).

rewrite:   M   ->   M o M o ... o M      g times: new layer i is old layer i mod L

           L = 2, g = 3:   h.0 h.1 h.0 h.1 h.0 h.1

Preserves nothing by design; embeddings, final norm and head are copied, the optimizer is not
carried. The paper's recipe is g = 4, early: after about 10B tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.methods.base import Ask, Claim, LayerSource, Method, Option, OptionValue
from growplan.methods.stackbert import whole_stacks
from growplan.methods.support.layers import contradicted


class GStack(Method):
    """g copies of the stack."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def depth(self, old: int, options: Mapping[str, OptionValue]) -> int | None:
        g = options.get("g", "size")
        return None if g == "size" else int(g) * old

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        asked = self.depth(old, options)
        if asked is not None and asked != new:
            contradicted("gstack", "g", asked // old, f"makes {asked} layers", old, new)
        return whole_stacks("gstack", old, new)


METHOD = GStack(
    name="gstack",
    title="the stack repeated g times",
    paper="Stacking Your Transformers arXiv 2405.15319",
    verbs=("stack",),
    options=(
        Option(
            "g",
            "size",
            "how often the stack stands in the result: a number, or as the `size` says",
            ("size",),
            range=(1, 1e4),
            whole=True,
        ),
    ),
)
