"""`identity`: new blocks that change nothing at first.

rewrite:   h.0 .. h.{L-1}   ->   old blocks in order, each new one a copy of the block below it
           with every projection that writes the residual stream set to zero

           L = 2, L* = 7:   h.0 h.0' h.0' h.1 h.1' h.1' h.1'      (' silent)

Exact under pre-norm (StackingBERT's identity control, `identity.py`; LLaMA Pro, arXiv 2401.02415).
Under post-norm the block still normalises: its norms are made plain and the last one takes over
the scale and shift of the layer below, which is exact up to their epsilon (LEMON, arXiv 2310.07999).
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.diagnostics import fail
from growplan.methods.base import Ask, Claim, LayerSource, Method, Option, OptionValue
from growplan.methods.support.layers import PLACE, placed


class Identity(Method):
    """Silent blocks, copied or drawn anew."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("approximate" if ask.post_norm else "exact")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        return placed(old, new, options, fresh_as(options))


def fresh_as(options: Mapping[str, OptionValue]) -> str:
    """How a new layer is drawn: empty where the option `new` says `copy`.

    Raises GP230 where `init` says how to draw what is copied.
    """
    if options.get("new", "copy") == "fresh":
        return str(options.get("init", "config"))
    if "init" in options:
        fail(
            "GP230",
            "`init` is how fresh layers are drawn, and `new copy` draws none",
            help=["write `new fresh` with it", "or leave `init` out"],
            part="init",
        )
    return ""


NEW = (
    Option(
        "new",
        "copy",
        "what new layers hold: copies of old ones, or fresh values as at the start of training",
        ("copy", "fresh"),
    ),
    Option(
        "init",
        "config",
        "how fresh matrices are drawn: normal with the `config`'s initializer_range, `like` the old ones, "
        "or `normal(STD)`; biases are 0, norm scales 1",
    ),
)
METHOD = Identity(
    name="identity",
    title="inserted blocks with zero output projections, spread evenly",
    paper="Efficient Training of BERT by Progressively Stacking, ICML 2019 (`identity.py`)",
    verbs=("deepen",),
    options=(PLACE, *NEW),
)
