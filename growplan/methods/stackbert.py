"""`stackbert`: progressive stacking (Gong et al., ICML 2019, section 3; `double.py`).

rewrite:   h.j   ->   h.j, h.{j+L}, h.{j+2L}, ...      (the whole stack appended again)

           L = 3, L* = 6:   h.0 h.1 h.2 h.0 h.1 h.2

Preserves nothing by design. Embeddings, final norm and head are kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.methods.base import Ask, Claim, LayerSource, Method, OptionValue
from growplan.methods.support.layers import LARGEST_FACTOR, copies, no_depth


class StackBert(Method):
    """Whole copies of the stack."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        return whole_stacks("stackbert", old, new)


def whole_stacks(name: str, old: int, new: int) -> tuple[LayerSource, ...]:
    """New layer i is old layer i mod L. Raises GP121 where L does not divide L*."""
    if new % old:
        largest = max(LARGEST_FACTOR, new // old + 1)
        no_depth(
            name,
            "repeats the whole stack",
            old,
            new,
            (old * g for g in range(2, largest + 1)),
            "via interlace",
        )
    return copies(i % old for i in range(new))


METHOD = StackBert(
    name="stackbert",
    title="the whole stack of layers appended again",
    paper="Efficient Training of BERT by Progressively Stacking, ICML 2019",
    verbs=("stack",),
)
