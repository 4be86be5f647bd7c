"""LEMON's layer map and its silent blocks, type 1 (arXiv 2310.07999; `copymix_zero`, `allzero`).

rewrite:   the first 2L - L* layers one to one; each later one, i, followed by a new layer

           L = 4, L* = 6:   h.0 h.1 h.2 h.2' h.3 h.3'      (' silent)

The projections of a new layer that write the residual stream are zero; all else is copied from
layer i (`fan-in own`) or from the layer after it (`fan-in next`; the last one from itself).
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.methods.base import LayerSource, Option, OptionValue
from growplan.methods.layers import Layers, no_depth

FAN_IN = Option(
    "fan-in",
    "own",
    "what a new layer's other weights copy: the layer below it, or the one above",
    ("own", "next"),
    layers=True,
)


def lemon_layers(old: int, new: int, options: Mapping[str, OptionValue]) -> Layers:
    """The source of every layer, bottom first. Raises GP121 where L* > 2 L."""
    if new > 2 * old:
        why = "gives each layer at most one new one"
        no_depth("lemon", why, old, new, range(old + 1, 2 * old + 1), "identity")
    ahead = 1 if options.get("fan-in", "own") == "next" else 0
    out: list[LayerSource] = []
    for i in range(old):
        out.append(LayerSource(i))
        if i >= 2 * old - new:
            out.append(LayerSource(min(i + ahead, old - 1), "zero"))
    return tuple(out)
