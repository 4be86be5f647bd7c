"""`lesa`: new layers between old ones, each predicted from the two around it (Yang et al., arXiv 2502.13794).

rewrite:   h.0 h.1 h.2 h.3   ->   h.0 h.1 (h.1|h.2) h.2 (h.2|h.3) h.3

           [W_0 ... W_{L-1}] = U S [V_0 ... V_{L-1}]      one decomposition for each matrix of a block
           h.i|h.{i+1}:   W = U S G([V_i | V_{i+1}])      G fitted so that V_i = G([V_{i-1} | V_{i+1}])

G is a small network on rows, one for each direction of U, fitted on all triples of the source's own
layers: there is no data. Preserves nothing by design. As in the authors' notebook new layers stand one each
in the topmost gaps, and what is no matrix (norms, biases) is that of layer 0. In a pre-norm model trained
for long, its small norms are what keeps a new layer quiet (SmolLM2-135M, 30→45 layers: loss 2.86 in the
source, 3.55 so, 7.52 with the norms of the layer below). The parts of a fused projection are matrices of
their own, and so are those of each expert. Ten epochs are as few as thirty updates in a small model, after
which a network is little more than its draw, so that `updates` sets a least number of them; the models of
the paper have more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from growplan.diagnostics import fail
from growplan.methods.base import Ask, Claim, LayerSource, Method, Option, OptionValue, Predictor
from growplan.methods.support.layers import no_depth

LEAST = 3  # layers that make a triple


class Lesa(Method):
    """Layers predicted from their neighbours."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        if old < LEAST:
            fail(
                "GP564",
                f"`lesa` learns from {LEAST} layers in a row, and the source has {old}",
                help=f"`deepen depth {old}→{new} via interpolate`, or `via identity`, which need one",
            )
        extra, gaps = new - old, old - 1
        if extra > gaps:
            no_depth(
                "lesa",
                "puts one layer at most between two of the source",
                old,
                new,
                range(old + 1, old + gaps + 1),
                "via interlace",
            )
        after = _gaps(str(options.get("place", "top")), old, extra)
        first = options.get("rest", "first") == "first"
        layers: list[LayerSource] = []
        for layer in range(old):
            layers.append(LayerSource(layer))
            if layer in after:
                layers.append(LayerSource(0 if first else layer, predicted=layer))
        return tuple(layers)

    def predictor(self, options: Mapping[str, OptionValue]) -> Predictor:
        base = Predictor()
        return Predictor(
            hidden=int(options.get("hidden", base.hidden)),
            epochs=int(options.get("epochs", base.epochs)),
            updates=int(options.get("updates", base.updates)),
            lr=float(options.get("lr", base.lr)),
            norm=float(options.get("norm", base.norm)),
        )


def _gaps(place: str, old: int, extra: int) -> Sequence[int]:
    """The old layers that a new one follows, `extra` of them. Raises GP566."""
    gaps = old - 1
    if place == "top":
        return range(gaps - extra, gaps)
    if place == "spread":
        return [(2 * k + 1) * gaps // (2 * extra) for k in range(extra)]
    first = int(place)
    if extra and first + extra > gaps:
        fail(
            "GP566",
            f"{extra} layers after layers {first} to {first + extra - 1} need {first + extra + 1} layers, "
            f"and the source has {old}",
            help=f"`place {gaps - extra}`, which is the highest, or `place top`",
            part="place",
        )
    return range(first, first + extra)


METHOD = Lesa(
    name="lesa",
    title="layers between old ones, predicted from the two around them by networks fitted on the source",
    paper="LESA arXiv 2502.13794",
    verbs=("deepen",),
    least_depth=LEAST,
    options=(
        Option(
            "place",
            "top",
            "where new layers go: between the topmost layers, spread, or after this layer and those above it",
            ("top", "spread"),
            range=(0, 1e4),
            counts="depth",
            whole=True,
        ),
        Option(
            "rest",
            "first",
            "whose norms and biases new layers have: those of layer 0, as published, or of the layer below",
            ("first", "below"),
        ),
        Option("hidden", 256, "units of each of the two hidden layers of a network", range=(1, 1e6)),
        Option("epochs", 10, "times that a network sees every row", range=(1, 1e6)),
        Option("updates", 1000, "and more often, until there are as many updates of 64 rows", range=(1, 1e9)),
        Option("lr", 1e-3, "rate of AdamW", range=(1e-9, 10)),
        Option("norm", 5e-4, "share of the loss that holds the norm of what is predicted", range=(0, 1)),
    ),
)
