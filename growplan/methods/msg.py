"""`msg`: new units behind a growth mask (Masked Structural Growth, arXiv 2305.02869).

rewrite:   x : n   ->   [x ; free] : n*      whoever reads the new units reads them times a mask m

New units are drawn like the old ones (or by `init`), new layers are copies: any values will do, since
m = 0 hides them, and m rises to 1 while the model is trained (`over N steps`, `ramp`, `delay`). Where
the mask stands:

    ffn, heads   the input columns of the module that reads the units. The stored checkpoint holds
                 them times 0, so that it is the old function in a stock load
    depth        pre-norm: the projections that write the stream, likewise. Post-norm: the block,
                 h -> m f(h) + (1 - m) h, while the runtime's hooks are attached
    hidden       every norm over the stream, while the hooks are attached: with weights w = (1, m),

                     mu = sum(w x) / sum(w)      var = sum(w (x - mu)^2) / sum(w)
                     y = w (gain (x - mu) / sqrt(var + eps) + bias)

                 and modules that read the stream with no norm between, on their input columns.
                 New gains are 1, new biases 0. Under RMSNorm the stored checkpoint holds the rows
                 that write new units times 0, gain * sqrt(n/n*) and eps * n/n*, so that it is the
                 old function in a stock load; behind its masks gain and eps are the old ones

The authors mask queries, keys and values; here attention's output is masked, which disturbs neither
the softmax nor groups nor norms of heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from growplan.algebra import Expansion
from growplan.methods.base import (
    Ask,
    Candidate,
    Claim,
    LayerSource,
    Method,
    Option,
    OptionValue,
    Ramp,
    WidthRequest,
)
from growplan.methods.support.heads import head_maps

FIRST = ("hidden", "heads", "kv_heads", "ffn")  # of several axes, the one that the mask is named after


class Msg(Method):
    """Masked new units and layers."""

    def claim(self, ask: Ask) -> Claim:
        attached = "hidden" in ask.axes or ("depth" in ask.axes and ask.post_norm)
        return Claim("exact", where="attached" if attached else "stock")

    def widen(self, request: WidthRequest) -> list[Candidate]:
        maps: dict[str, Expansion] = {}
        if {"heads", "kv_heads"} & set(request.grow):
            maps |= head_maps(request.grow, request.sizes, free_units)
        maps |= {axis: free_units(*request.grow[axis]) for axis in ("ffn", "hidden") if axis in request.grow}
        axis = next(axis for axis in FIRST if axis in maps)
        init = str(request.options.get("init", "like"))
        attached = Candidate("masked units", maps, "even", init, masked=axis)
        if axis != "hidden":
            return [attached]
        zeros = {**maps, "hidden": Expansion.appended(*request.grow["hidden"], "zero")}
        return [Candidate("masked rows", zeros, "even", init, masked=axis, attached=attached), attached]

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        """Copies of the old layers on top, or each behind its own; drawn ones where the plan says so."""
        fresh = "config" if options.get("layers") == "random" else ""
        kept = [LayerSource(layer) for layer in range(old)]
        whole, rest = divmod(new - old, old)
        if options.get("place") == "between":
            copies = [whole + (layer >= old - rest) for layer in range(old)]
            runs = [
                [kept[layer], *[LayerSource(layer, "masked", fresh)] * copies[layer]] for layer in range(old)
            ]
            return tuple(source for run in runs for source in run)
        order = [*range(old)] * whole + [*range(old - rest, old)]
        return (*kept, *(LayerSource(layer, "masked", fresh) for layer in order))

    def ramp(self, options: Mapping[str, OptionValue], over: int | None) -> Ramp:
        shape = cast(Literal["linear", "cosine"], str(options.get("ramp", "linear")))
        delay = options.get("delay", "none")
        return Ramp(over, shape, 0 if delay == "none" else int(delay))


def free_units(old: int, new: int) -> Expansion:
    """The old units, then units of any value."""
    return Expansion.appended(old, new, "free")


METHOD = Msg(
    name="msg",
    title="new units or layers behind a growth mask of 0",
    paper="Masked Structural Growth arXiv 2305.02869",
    axes=("heads", "ffn", "hidden", "depth"),
    verbs=("mask-in",),
    options=(
        Option(
            "init",
            "like",
            "how new units are drawn: `like` the old ones, or `normal(STD)`; small ones jump less",
        ),
        Option("ramp", "linear", "how the mask rises in training", ("linear", "cosine")),
        Option(
            "delay",
            "none",
            "steps of training before it begins to",
            ("none",),
            range=(0, 1e9),
            whole=True,
        ),
        Option("layers", "copy", "new layers are copies, or drawn", ("copy", "random"), layers=True),
        Option(
            "place",
            "top",
            "new layers stand on top, or each behind the layer it is a copy of",
            ("top", "between"),
            layers=True,
        ),
    ),
)
