"""`ligo`: learned linear growth (Wang et al., arXiv 2303.00980; VITA-Group/LiGO `ligo.py`).

rewrite:   W_l : out x in   ->   B_out (sum over l of w_il W_l) B_in^T      b likewise, weights of its own

           B = [I ; C], C learned; the side that reads an axis has the transpose of the side that writes it

Width and depth at once, fitted on the target's own loss while the source is frozen. Preserves
nothing: transposes are no inverses. Which tensors share an operator is the authors' table: one for
the residual stream, one each for queries, keys, values and the ffn of every layer; a fused
projection has its parts' operators and one weight vector over the old layers. Attention's output
is read through the values' operator, or one of its own where query heads and value heads differ.

`init METHOD` begins as the checkpoint of a static method and learns from there. LiGO's in-map is its
out-map transposed, which no function-preserving map is, so that the operator is a general one:

    W_i* = E_out (sum over l of w_il W_l) D_in^T + N      b_i* = E_out (sum over l of w_il b_l) + n

E and D belong to one end of one weight each (`tying`: in each layer, or for all layers), one row of w
to all tensors of a block; N and n are of the tensor's shape, and a norm is the method's own plus a leaf.
They begin such that step 0 is the method's checkpoint, whatever it draws or inserts. Epsilons, rotary
thetas and the divisor of a tied head are the method's and are not learned; axes that stay have no E or
D. Layers are the method's where it adds layers, else copies by `depth-init`. The authors' table of
ties is for their own inits alone.

The published recipe (`recipe published`) warms up over 10000 steps and runs 100, so that its rate
comes to 2e-6 and the operator stays what it began as; the default here moves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast

from growplan.methods.base import Ask, Claim, Method, Operator, Option, OptionValue, Recipe
from growplan.methods.support.recipe import RECIPE, STARTED, recipe_of

NOISE = 0.03


class Ligo(Method):
    """Operators of width and depth, learned."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def operator(self, options: Mapping[str, OptionValue], steps: int | None) -> Operator:
        def word(name: str) -> str:
            return str(options.get(name, next(o.default for o in self.options if o.name == name)))

        start = None if word("init") == "published" else word("init")
        return Operator(
            method=self.name,
            kind="general" if start else "ligo",
            start=start,
            residual=word("residual") == "learned",
            tying=cast(Literal["layer", "shared", "auto"], word("tying")),
            order=cast(Literal["depth-first", "width-first"], word("order")),
            depth_init="stackbert" if start and "depth-init" not in options else word("depth-init"),
            width_init=word("width-init"),
            noise=float(options.get("noise", NOISE)),
            mix=cast(Literal["units", "heads", "auto"], word("mix")),
            recipe=recipe_of(options, steps, rate=STARTED if start else Recipe.lr),
        )


METHOD = Ligo(
    name="ligo",
    title="width and depth operators fitted on the grown model's own loss",
    paper="LiGO arXiv 2303.00980",
    axes=("hidden", "ffn", "heads", "kv_heads", "depth"),
    verbs=("grow",),
    learned=True,
    training="the weights alone grow: LiGO trains on with a fresh optimiser (BERT: rate 2e-4, no warm-up)",
    options=(
        Option(
            "init",
            "published",
            "what the operator begins as: one of the authors' inits, or a static method (`fpi`, `lemon`, "
            "`aki`, ...) by an operator for each end of each weight",
            methods=True,
        ),
        Option(
            "residual",
            "learned",
            "with `init METHOD`: what is added to the products, without which fresh units, noise and "
            "inserted blocks cannot begin as the method has them",
            ("learned", "none"),
        ),
        Option(
            "tying",
            "auto",
            "operators of each layer or for all (of q, k, v and ffn; with `init METHOD` of all ends); auto: "
            "shared past half the target's size",
            ("auto", "layer", "shared"),
        ),
        Option(
            "order",
            "depth-first",
            "layers blended, then widened, or widened first",
            ("depth-first", "width-first"),
        ),
        Option(
            "depth-init",
            "stackbert-noisy",
            "weights over old layers at first",
            ("stackbert", "interlace", "stackbert-noisy", "interlace-noisy", "rand", "rand-softmax"),
        ),
        Option(
            "width-init",
            "rand",
            "new units at first: means of all old ones with random weights, or single ones",
            ("rand", "rand-softmax", "sel", "sel-noisy"),
        ),
        Option("noise", NOISE, "size of the noise of the `-noisy` inits", range=(0, 1)),
        Option(
            "mix",
            "auto",
            "new heads are sums of single units or of whole heads; auto: whole if rotary or behind a norm",
            ("auto", "units", "heads"),
        ),
        *(
            replace(o, doc=f"{o.doc}, or {STARTED:g} with `init METHOD`") if o.name == "lr" else o
            for o in RECIPE
        ),
    ),
)
