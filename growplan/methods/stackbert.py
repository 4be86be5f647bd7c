"""`stackbert`: progressive stacking (Gong et al., ICML 2019, section 3; `double.py`).

rewrite:   h.j   ->   h.j, h.{j+L}, h.{j+2L}, ...      (the whole stack appended again)

Preserves nothing by design. Embeddings, final norm and head are kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.diagnostics import fail
from growplan.methods.base import Ask, Claim, LayerSource, Method, OptionValue


class StackBert(Method):
    """Whole copies of the stack."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        if new % old:
            fail(
                "GP121",
                f"`stackbert` repeats the whole stack, so {old} layers cannot become {new}",
                help=(f"use a multiple of {old}", "or `via interlace`, which takes any depth"),
            )
        return tuple(LayerSource(i % old) for i in range(new))


METHOD = StackBert(
    name="stackbert",
    title="the whole stack of layers appended again",
    paper="Efficient Training of BERT by Progressively Stacking, ICML 2019",
    verbs=("stack",),
)
