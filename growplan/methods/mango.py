"""`mango`: a multi-linear operator over all weights of all layers (Pan et al., arXiv 2310.10699).

rewrite:   M1 : blocks x layers of the source   ->   M2, every block of every new layer

    M2[b2, o2, l2, i2] = sum over b1, o1, l1, i1 and the bonds r1 to r4 of
        S_B[r1, b1, b2, r2] S_O[r2, o1, o2, r3] S_L[r3, l1, l2, r4] S_I[r4, i1, i2, r1] M1[b1, o1, l1, i1]

Re-derived: no official code exists. The ring of cores is the paper's; how it begins and what becomes
of biases, norms, embeddings and heads is not known and is growplan's choice.
With one bond and no noise the operator begins as LiGO's with one width operator for all axes and one
row of depth weights for each new layer. It preserves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast

from growplan.methods.base import Ask, Claim, Method, Operator, Option, OptionValue
from growplan.methods.ligo import METHOD as LIGO
from growplan.methods.ligo import NOISE
from growplan.methods.support.recipe import RECIPE, recipe_of

BONDS = 4


class Mango(Method):
    """A tensor ring over blocks, outputs, layers and inputs, learned."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def operator(self, options: Mapping[str, OptionValue], steps: int | None) -> Operator:
        def word(name: str) -> str:
            return str(options.get(name, next(o.default for o in self.options if o.name == name)))

        return Operator(
            method=self.name,
            kind="mango",
            tying="shared",
            depth_init=word("depth-init"),
            width_init=word("width-init"),
            noise=float(options.get("noise", NOISE)),
            mix=cast(Literal["units", "heads", "auto"], word("mix")),
            ranks=(int(options.get("rank", 1)),) * BONDS,
            recipe=recipe_of(options, steps),
        )


LIGO_OPTIONS = {option.name: option for option in LIGO.options}

METHOD = Mango(
    name="mango",
    title="a tensor ring over all blocks, layers and axes, fitted on the grown model's own loss (re-derived)",
    paper="Mango arXiv 2310.10699 (re-derived: no official code)",
    axes=LIGO.axes,
    verbs=("grow",),
    learned=True,
    training="the weights alone grow: train on with a fresh optimiser",
    options=(
        Option("rank", 1, "size of the bonds of a ring; its numbers grow with the square", range=(1, 64)),
        replace(LIGO_OPTIONS["depth-init"], default="stackbert"),
        LIGO_OPTIONS["width-init"],
        Option(
            "noise",
            NOISE,
            "size of the noise in all bonds but the first, which would have no gradient without, "
            "and of the `-noisy` inits",
            range=(0, 1),
        ),
        LIGO_OPTIONS["mix"],
        *(option for option in RECIPE if option.name != "recipe"),
    ),
)
