"""`interlace`: each layer repeated in place (LiGO's `interlace`, AquilaMoE's interpolation).

rewrite:   new layer i   <-   old layer floor(i L / L*)

Preserves nothing by design.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.methods.base import Ask, Claim, LayerSource, Method, OptionValue


class Interlace(Method):
    """Layers repeated in place."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        return tuple(LayerSource(i * old // new) for i in range(new))


METHOD = Interlace(
    name="interlace",
    title="each layer repeated in place",
    paper="LiGO arXiv 2303.00980 (initialisation); AquilaMoE arXiv 2408.06567",
    verbs=("stack",),
)
