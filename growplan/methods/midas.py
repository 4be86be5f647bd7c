"""`midas`: gradual stacking in the middle (Saunshi et al., arXiv 2409.19044).

rewrite:   B.1 ... B.k   ->   B.1 ... B.m, B.m, ... B.k      blocks of b layers, k = L / b,
           m = ceil(k / 2), as often as it takes to have L* layers

           L = 6, b = 2, L* = 8:   h.0 h.1 | h.2 h.3 | h.2 h.3 | h.4 h.5

The paper grows by one block a stage. Preserves nothing by design.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd

from growplan.diagnostics import fail
from growplan.methods.base import Ask, Claim, LayerSource, Method, Option, OptionValue
from growplan.methods.support.layers import LARGEST_FACTOR, copies, no_depth


class Midas(Method):
    """The middle block again."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        block = _block(options.get("block", "largest"), old, new)
        if old % block:
            ways = ", ".join(str(b) for b in range(1, old + 1) if old % b == 0)
            message = f"{old} layers are not made of blocks of {block}"
            fail("GP222", message, help=f"`block` may be {ways}", part="block")
        if (new - old) % block:
            legal = (old + block * count for count in range(1, LARGEST_FACTOR * old))
            no_depth("midas", f"adds whole blocks of {block} layers", old, new, legal, "via interlace")
        end = -(-old // block // 2) * block
        middle = range(end - block, end)
        return copies((*range(end), *list(middle) * ((new - old) // block), *range(end, old)))


def _block(given: OptionValue, old: int, new: int) -> int:
    return gcd(old, new - old) if given == "largest" else int(given)


METHOD = Midas(
    name="midas",
    title="the middle block of layers repeated in place",
    paper="MIDAS, On the Inductive Bias of Stacking, arXiv 2409.19044",
    verbs=("stack", "deepen"),
    options=(
        Option(
            "block",
            "largest",
            "layers of a block: a number, or the `largest` that divides both L and L* - L",
            ("largest",),
            range=(1, 1e4),
            counts="depth",
            whole=True,
        ),
    ),
)
