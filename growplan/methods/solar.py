"""`solar`: depth up-scaling (SOLAR 10.7B, arXiv 2312.15166, section 3.1).

rewrite:   n layers   ->   0 .. n-m-1, then m .. n-1      2 (n - m) layers

           n = 4, m = 1:   h.0 h.1 h.2 h.1 h.2 h.3

The two copies lose m layers each at their seam; the paper has n = 32, m = 8, 48 layers. Preserves
nothing by design: pre-training goes on.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.diagnostics import fail
from growplan.methods.base import Ask, Claim, LayerSource, Method, Option, OptionValue
from growplan.methods.support.layers import contradicted, copies, no_depth


class Solar(Method):
    """Two copies without their last and first m layers."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("none")

    def depth(self, old: int, options: Mapping[str, OptionValue]) -> int | None:
        m = int(options.get("m", 0))
        if m and not 0 < 2 * m <= old:
            fail(
                "GP222",
                f"`m {m}` of `solar` would leave 2 ({old} - {m}) of {old} layers: a plan only grows",
                help=f"give an `m` from 1 to {old // 2}" if old > 1 else "stack by `via interlace`",
                part="m",
            )
        return 2 * (old - m) if m else None

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        asked = self.depth(old, options)
        if asked not in (None, new):
            m = int(options.get("m", 0))
            contradicted("solar", "m", m, f"makes 2 ({old} - {m}) = {asked} layers", old, new)
        if new == old:
            return copies(range(old))
        if new % 2 or new > 2 * old:
            even = range(old + 1 + (old + 1) % 2, 2 * old + 1, 2)
            no_depth("solar", "joins two copies of equal length", old, new, even, "interlace")
        half = new // 2
        return copies((*range(half), *range(old - half, old)))


METHOD = Solar(
    name="solar",
    title="two copies joined, m layers dropped from each at the seam",
    paper="SOLAR 10.7B arXiv 2312.15166",
    verbs=("stack",),
    options=(Option("m", 0, "layers that each copy loses at the seam; 0: as the size says", counts="depth"),),
)
