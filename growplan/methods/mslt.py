"""`mslt`: one stage of multi-stage layerwise training (arXiv 2011.13635).

rewrite:   L layers   ->   the same, then d = L* - L new layers at the output side

           L = 3, d = 2:   h.0 h.1 h.2 h.1 h.2

New layers are copies of the top d (the port in prts, `mslt.py`), which needs d <= L; `new fresh` draws
them, as a summary of the paper has it. Preserves nothing by design. The paper then trains the new
layers alone, and all of them in the last stage.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.methods.base import Ask, Claim, LayerSource, Method, OptionValue
from growplan.methods.identity import NEW, fresh_as
from growplan.methods.support.layers import copies, no_depth


class Mslt(Method):
    """The top layers again, at the top."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        fresh, extra = fresh_as(options), new - old
        if fresh:
            return (*copies(range(old)), *[LayerSource(old - 1, fresh=fresh)] * extra)
        if extra > old:
            why = "appends copies of the top L* - L layers, and there are only L"
            no_depth("mslt", why, old, new, range(old + 1, 2 * old + 1), "new fresh")
        return copies((*range(old), *range(old - extra, old)))


METHOD = Mslt(
    name="mslt",
    title="copies of the top layers appended, to be trained alone",
    paper="Progressively Stacking 2.0 (MSLT) arXiv 2011.13635",
    verbs=("stack", "deepen"),
    options=NEW,
    training="MSLT trains the new layers alone (the old ones only run forward), and all in a last stage",
)
