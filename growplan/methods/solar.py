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
        given = options.get("m", "size")
        if given == "size":
            return None
        m = int(given)
        if 2 * m > old:
            fail(
                "GP222",
                f"`m {m}` of `solar` would leave 2 ({old} - {m}) of {old} layers: a plan only grows",
                help=f"give an `m` from 0 to {old // 2}" if old > 1 else "give `m 0`: two whole copies",
                part="m",
            )
        return 2 * (old - m)

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        asked = self.depth(old, options)
        if asked is not None and asked != new:
            m = int(options["m"])
            contradicted("solar", "m", m, f"makes 2 ({old} - {m}) = {asked} layers", old, new)
        if new == old:
            return copies(range(old))
        if new % 2 or new > 2 * old:
            even = range(old + 1 + (old + 1) % 2, 2 * old + 1, 2)
            no_depth("solar", "joins two copies of equal length", old, new, even, "via interlace")
        half = new // 2
        return copies((*range(half), *range(old - half, old)))


METHOD = Solar(
    name="solar",
    title="two copies joined, m layers dropped from each at the seam",
    paper="SOLAR 10.7B arXiv 2312.15166",
    verbs=("stack",),
    options=(
        Option(
            "m",
            "size",
            "layers that each copy loses at the seam: a number, or as the `size` says",
            ("size",),
            range=(0, 1e4),
            counts="depth",
            whole=True,
        ),
    ),
)
