"""`aki`: bert2BERT's advanced knowledge initialisation, AKI (arXiv 2110.07143).

rewrite:   W of layer l   ->   [own rows ; rows g of layer l + 1]      both with columns as FPI's
           top layer      ->   FPI: there is no layer above

New units are not copies of their own layer's, which would learn the same, but of the next layer's;
the function is given up for that. g and the shares are FPI's (`bert2bert`), one g for the whole
residual stream; heads are whole units and keep their index, biases follow their rows, embeddings,
norms and everything else outside the layers are FPI's. Two readings are in use:

    rows    the formula: new output rows of every matrix of a layer (also W_o and W_2, whose rows are
            residual units) come from layer l + 1; also in YiteWang/lemon-pytorch, with `map circular`
    inner   zxhcelestes/bert2BERT: only new heads and ffn units come from layer l + 1, as rows of
            W_q, W_k, W_v and W_1 and, divided by their counts, as columns of W_o and W_2

For the top layer one port uses FPI and the other layer l itself; under one g these are the same.
Under grouped-query attention new query heads stay inside their group, which is AKI-Pro (AquilaMoE,
arXiv 2408.06567).
"""

from __future__ import annotations

from typing import cast

from growplan.methods.base import Ask, Candidate, Claim, Graft, Method, Option, WidthRequest
from growplan.methods.bert2bert import circular_maps
from growplan.methods.net2net import random_maps


class Aki(Method):
    """bert2BERT's AKI; AKI-Pro on grouped-query attention."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def widen(self, request: WidthRequest) -> list[Candidate]:
        circular = request.options.get("map", "random") == "circular"
        maps = circular_maps(request) if circular else random_maps(request)
        label = "circular copies" if circular else "random copies"
        graft = cast(Graft, str(request.options.get("reading", "rows")))
        return [Candidate(label, maps, norms="indexed", graft=graft)]


METHOD = Aki(
    name="aki",
    title="new units are those of the layer above (AKI; AKI-Pro under grouped-query attention)",
    paper="bert2BERT arXiv 2110.07143; AKI-Pro: AquilaMoE arXiv 2408.06567",
    axes=("hidden", "ffn", "heads", "kv_heads"),
    verbs=("widen", "grow"),
    options=(
        Option(
            "reading",
            "rows",
            "what comes from the layer above: new rows of every matrix, or only new heads and ffn units",
            ("rows", "inner"),
        ),
        Option("map", "random", "which old unit a new one copies", ("random", "circular")),
    ),
)
