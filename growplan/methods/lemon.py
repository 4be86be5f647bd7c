"""`lemon`: lossless expansion to any width (Wang et al., LEMON, arXiv 2310.07999).

rewrite:   x : n   ->   [x ; ... ; x ; mean(x) or 0] : n*      m = n* // n whole copies, then a residue
           W_out   ->   shares of W over the copies, plus noise that cancels over them

The residue of a LayerNorm stream holds the mean of the old units (LN-average), that of an
RMSNorm stream zeros; a norm turns both into zeros, so that the columns which read them are free
and drawn by `init`. Heads and ffn units are whole copies, in order again and again; heads stay
in their kv group. Under post-norm only a multiple is exact: its norm puts a constant (beta) on
the residue, and the next residual sum then holds neither the mean nor zero there.

`split` says how copies of a unit share what reads them. `projection` (the paper's ViT code, and
the default: it moves a fresh draw R the least) is even shares plus R_k - mean(R); `comp` (its
BERT code) gives a copy s R and the first copy the rest, W - s R. Published for two copies; with
more, each later copy gets an s R_k of its own and the first one W - s (R_1 + R_2 + ...).

Deeper (`copymix_zero`, `copymix_cancel`):   the first 2L - L* layers one to one; each later one,
                                             i, followed by a new layer

           L = 4, L* = 6:   h.0 h.1 h.2 h.2' h.3 h.3'      (' silent)

The projections of a new layer that write the residual stream are zero (`type 1`), or draws minus
their mean over the copies of a unit (`type 2`), which add nothing while the copies are equal, and
pass gradients on; all else is copied from layer i (`fan-in own`) or from the layer after it
(`fan-in next`; the last one from itself). Type 2 needs heads and ffn units widened before it.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.algebra import Expansion
from growplan.diagnostics import fail
from growplan.methods.base import (
    Ask,
    Candidate,
    Claim,
    LayerSource,
    Method,
    Noise,
    Option,
    OptionValue,
    WidthRequest,
)
from growplan.methods.bert2bert import circular_maps
from growplan.methods.support.lemon_depth import FAN_IN, TYPE, lemon_layers

SCALE = 0.1


class Lemon(Method):
    """Whole copies, a residue that norms do not see, and shares that differ."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("approximate" if "depth" in ask.axes and ask.post_norm else "exact")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        return lemon_layers(old, new, options)

    def widen(self, request: WidthRequest) -> list[Candidate]:
        shares, noise = _shares(request)
        init = str(request.options.get("init", "like"))
        maps = circular_maps(request)
        if "hidden" not in request.grow:
            return [Candidate("copies", maps, shares, init, noise=noise)]
        return [
            Candidate(label, {**maps, **stream}, shares, init, noise=noise)
            for label, stream in stream_maps(*request.grow["hidden"])
        ]


def stream_maps(old: int, new: int) -> list[tuple[str, dict[str, Expansion]]]:
    """Maps of the stream in order of preference."""
    if new % old == 0:
        return [("even copies", {"hidden": Expansion.circular(old, new)})]
    mean, zero = Expansion.padded(old, new, "mean"), Expansion.padded(old, new, "zero")
    return [
        ("mean rows", {"hidden": mean}),
        ("zero rows", {"hidden": zero}),
        ("zero rows behind norms", {"hidden": zero, "hidden/branch": mean}),
    ]


def _shares(request: WidthRequest) -> tuple[str, Noise | None]:
    """How copies share a unit. Raises GP230 where `scale` says nothing."""
    split = str(request.options.get("split", "projection"))
    init = str(request.options.get("init", "like"))
    if "scale" in request.options and split != "comp":
        fail(
            "GP230",
            f"`scale` is the size of the draw that `split comp` gives a copy; `split {split}` has none",
            help=["write `split comp`", "or leave `scale` out"],
        )
    if split == "projection":
        return "even", Noise("centred", init)
    if split == "comp":
        scale = float(request.options.get("scale", SCALE))
        std = f"like({scale!r})" if init == "like" else f"normal({scale * float(init[7:-1])!r})"
        return "first", Noise("first", std)
    return split, None


METHOD = Lemon(
    name="lemon",
    title="whole copies and a residue of mean or zero rows; exact at any width, copies told apart",
    paper="LEMON arXiv 2310.07999",
    axes=("hidden", "ffn", "heads", "kv_heads"),
    verbs=("widen", "deepen", "grow"),
    options=(
        Option(
            "split",
            "projection",
            "how the copies of a unit share its outgoing weights",
            ("projection", "comp", "uneven", "even"),
        ),
        Option("scale", SCALE, "with `split comp`: the draw of a copy, in parts of `init`", range=(0, 10)),
        Option("init", "like", "how fresh units are drawn: `like` the old ones, or `normal(STD)`"),
        TYPE,
        FAN_IN,
    ),
)
