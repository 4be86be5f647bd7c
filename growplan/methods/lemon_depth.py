"""LEMON's layer map and its silent blocks of two types (arXiv 2310.07999; `copymix_zero`, `copymix_cancel`).

rewrite:   the first 2L - L* layers one to one; each later one, i, followed by a new layer

           L = 4, L* = 6:   h.0 h.1 h.2 h.2' h.3 h.3'      (' silent)

The projections of a new layer that write the residual stream are zero (type 1), or draws minus
their mean over the copies of a unit (type 2), which add nothing while the copies are equal, and
pass gradients on; all else is copied from layer i (`fan-in own`) or from the layer after it
(`fan-in next`; the last one from itself). Type 2 needs heads and ffn units widened before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from growplan.methods.base import LayerSource, Option, OptionValue
from growplan.methods.layers import Layers, no_depth

FAN_IN = Option(
    "fan-in",
    "own",
    "what a new layer's other weights copy: the layer below it, or the one above",
    ("own", "next"),
    layers=True,
)


TYPE = Option(
    "type",
    "1",
    "how new blocks add nothing: 1 last projections of zero, 2 ones that cancel over copies",
    ("1", "2"),
    layers=True,
)


def lemon_layers(old: int, new: int, options: Mapping[str, OptionValue]) -> Layers:
    """The source of every layer, bottom first. Raises GP121 where L* > 2 L."""
    if new > 2 * old:
        why = "gives each layer at most one new one"
        no_depth("lemon", why, old, new, range(old + 1, 2 * old + 1), "identity")
    writers: Literal["zero", "cancel"] = "cancel" if str(options.get("type", "1")) == "2" else "zero"
    ahead = 1 if options.get("fan-in", "own") == "next" else 0
    out: list[LayerSource] = []
    for i in range(old):
        out.append(LayerSource(i))
        if i >= 2 * old - new:
            out.append(LayerSource(min(i + ahead, old - 1), writers))
    return tuple(out)
