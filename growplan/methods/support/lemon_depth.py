"""LEMON's layer map and its silent blocks of two types (arXiv 2310.07999); `methods/lemon.py` draws them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from growplan.methods.base import LayerSource, Option, OptionValue
from growplan.methods.support.layers import Layers, no_depth

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
        no_depth("lemon", why, old, new, range(old + 1, 2 * old + 1), "via identity")
    writers: Literal["zero", "cancel"] = "cancel" if str(options.get("type", "1")) == "2" else "zero"
    ahead = 1 if options.get("fan-in", "own") == "next" else 0
    out: list[LayerSource] = []
    for i in range(old):
        out.append(LayerSource(i))
        if i >= 2 * old - new:
            out.append(LayerSource(min(i + ahead, old - 1), writers))
    return tuple(out)
