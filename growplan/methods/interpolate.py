"""`interpolate`: AquilaMoE's name for `interlace` (arXiv 2408.06567, section 2.2).

rewrite:   new layer l   <-   old layer floor(l L / L*)

           L = 3, L* = 6:   h.0 h.0 h.1 h.1 h.2 h.2
"""

from __future__ import annotations

from growplan.methods.interlace import Interlace

METHOD = Interlace(
    name="interpolate",
    title="each layer repeated in place (another name of `interlace`)",
    paper="AquilaMoE arXiv 2408.06567",
    verbs=("stack", "deepen"),
)
