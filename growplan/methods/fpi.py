"""`fpi`: function-preserving growth, whatever it takes (growplan's own default).

rewrite:   x : n   ->   [x ; x ; ...] or [x ; mean(x)] or [x ; 0] : n*

The residual stream (`hidden`) is widened by the first of these maps that every norm of the
family accepts; inner axes are circular copies whose outgoing weights are shared unevenly, so
that copies get different gradients. Sources: Net2Net (arXiv 1511.05641) for copies, LEMON
(arXiv 2310.07999) for mean rows and uneven shares, its section on RMSNorm for zero rows.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product

from growplan.algebra import ONE, Expansion, Kind, Root, Run
from growplan.methods.base import (
    NOISE,
    Ask,
    Candidate,
    Claim,
    Method,
    Option,
    WidthRequest,
    domain_of,
    noise_of,
)
from growplan.methods.support.heads import head_maps

ID_AXES = ("vocab", "positions")  # their units are selected by ids


class Fpi(Method):
    """The compiler's own choice of maps."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("exact", domain_of(ask.axes))

    def widen(self, request: WidthRequest) -> list[Candidate]:
        split = str(request.options.get("split", "uneven"))
        init, noise = str(request.options.get("init", "like")), noise_of(request.options)
        inner = inner_maps(request)
        dims = head_dim_maps(*request.grow["head_dim"]) if "head_dim" in request.grow else [("", {})]
        streams = stream_maps(*request.grow["hidden"]) if "hidden" in request.grow else [("", {})]
        rows = str(request.options.get("rows", "fresh"))
        tables = table_maps(request, rows)
        out = []
        for (stream, stream_map), (dim, maps) in product(streams, dims):
            label = ", ".join(filter(None, (stream, dim))) or _label(request, rows)
            every = {**inner, **maps, **stream_map}
            out.append(Candidate(label, every, split, init, noise=noise, tables=tables))
        return out


def _label(request: WidthRequest, rows: str) -> str:
    labels = {"fresh": "fresh rows", "mean": "rows at the mean", "copy": "copied rows"}
    return "copies" if set(request.grow) - set(ID_AXES) else labels[rows]


def table_maps(request: WidthRequest, rows: str) -> dict[str, Expansion]:
    """How tables over ids fill their new rows; none: they are drawn.

    The mean is the usual start of a new token (its logit is the mean logit); copies tile the
    old positions, as Longformer does (arXiv 2004.05150).
    """
    grow = {axis: request.grow[axis] for axis in ID_AXES if axis in request.grow}
    if rows == "mean":
        return {axis: Expansion.appended(old, new, "mean") for axis, (old, new) in grow.items()}
    if rows == "copy":
        return {axis: Expansion.circular(old, new) for axis, (old, new) in grow.items()}
    return {}


def head_dim_maps(old: int, new: int) -> list[tuple[str, dict[str, Expansion]]]:
    """Maps of one head: queries scaled by sqrt(dh*/dh) beside zeros, keys beside free units.

    New queries are zero and new keys are not, so that the queries get a gradient. The second
    way keeps rotary pairs (unit p turns with p + dh/2).
    """
    gain = Root(Fraction(new, old))

    def maps(runs: Callable[[Kind, Root], tuple[Run, ...]]) -> dict[str, Expansion]:
        zero, free = Expansion(old, runs("zero", ONE)), Expansion(old, runs("free", ONE))
        return {"head_dim": zero, "head_dim/q": Expansion(old, runs("zero", gain)), "head_dim/k": free}

    def tail(kind: Kind, c: Root) -> tuple[Run, ...]:
        return Run("copy", old, 0, c), Run(kind, new - old)

    def halves(kind: Kind, c: Root) -> tuple[Run, ...]:
        half, pad = old // 2, Run(kind, (new - old) // 2)
        return Run("copy", half, 0, c), pad, Run("copy", half, half, c), pad

    if new == old:
        return [("", {})]
    found = [("zero dims", maps(tail))]
    if old % 2 == 0 and new % 2 == 0:
        found.append(("zero dims in each rotary half", maps(halves)))
    return found


def stream_maps(old: int, new: int) -> list[tuple[str, dict[str, Expansion]]]:
    """Maps of a residual stream in order of preference.

    A rescaled stream leaves every epsilon as it is, for families where another norm reads the
    same key: with m copies of the old units, a factor of sqrt(n* / m n) keeps mean square and
    variance. It changes the scale of the weights, so it comes last.
    """
    if new == old:
        return [("unchanged", {"hidden": Expansion.identity(old)})]
    zero = Expansion.appended(old, new, "zero")
    if new % old == 0:
        return [("even copies", {"hidden": Expansion.circular(old, new)}), ("zero rows", {"hidden": zero})]
    mean = Expansion.padded(old, new, "mean")
    energy = Fraction(new, new // old * old)
    return [
        ("mean rows", {"hidden": mean}),
        ("zero rows", {"hidden": zero}),
        ("zero rows behind norms", {"hidden": zero, "hidden/branch": Expansion.appended(old, new, "mean")}),
        ("mean rows, rescaled", {"hidden": mean.scaled(Root(energy))}),
        ("zero rows, rescaled", {"hidden": zero.scaled(Root(Fraction(new, old)))}),
    ]


def inner_maps(request: WidthRequest) -> dict[str, Expansion]:
    """Circular copies of ffn units, heads and experts; new vocabulary and positions are free."""
    maps: dict[str, Expansion] = {}
    for axis, (old, new) in request.grow.items():
        if axis in ("ffn", "experts", "active"):
            maps[axis] = Expansion.circular(old, new)
        elif axis in ID_AXES:
            maps[axis] = Expansion.appended(old, new, "free")
    if {"heads", "kv_heads"} & set(request.grow):
        maps |= head_maps(request.grow, request.sizes, Expansion.circular)
    return maps


METHOD = Fpi(
    name="fpi",
    title="function-preserving growth: even copies, mean rows or zero rows, whichever the norms accept",
    paper="Net2Net arXiv 1511.05641; LEMON arXiv 2310.07999",
    axes=("hidden", "ffn", "heads", "kv_heads", "head_dim", "vocab", "positions", "experts"),
    verbs=("widen", "grow"),
    options=(
        Option("split", "uneven", "how the copies of a unit share its outgoing weights", ("uneven", "even")),
        Option("init", "like", "how fresh units are drawn: `like` the old ones, or `normal(STD)`"),
        NOISE,
        Option(
            "rows",
            "fresh",
            "what new rows of vocab and positions hold: fresh values, the mean of the old rows (usual for "
            "new tokens), or copies of them in order (usual for positions)",
            ("fresh", "mean", "copy"),
        ),
    ),
)
