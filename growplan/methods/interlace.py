"""`interlace`: each layer repeated in place (LiGO's `interlace`, arXiv 2303.00980).

rewrite:   new layer i   <-   old layer floor(i L / L*)

           L = 3, L* = 6:   h.0 h.0 h.1 h.1 h.2 h.2

Preserves nothing by design. AquilaMoE (arXiv 2408.06567), which calls it interpolation, measures
a smaller jump of the loss than from stacking: a layer's input is closer to what it knows.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.methods.base import Ask, Claim, LayerSource, Method, OptionValue
from growplan.methods.support.layers import copies


class Interlace(Method):
    """Layers repeated in place."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        return copies(i * old // new for i in range(new))


METHOD = Interlace(
    name="interlace",
    title="each layer repeated in place",
    paper="LiGO arXiv 2303.00980 (initialisation)",
    verbs=("stack", "deepen"),
)
