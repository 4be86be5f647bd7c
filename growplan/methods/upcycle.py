"""`upcycle`: a dense model becomes a mixture of experts (sparse upcycling, arXiv 2212.05055).

rewrite:   ffn   ->   N experts, each a copy of the ffn, and a router that is drawn

Mixtral weighs the best `top-k` experts of a token by a softmax over their scores alone, so the
weights add up to 1 and equal experts give what the ffn gave, whatever the router says: exact.
With `noise`, `drop` or `granularity` the experts differ:

    noise STD       every expert plus N(0, STD); nothing is claimed
    drop RATIO      Drop-Upcycling (arXiv 2502.19261): in every expert, floor(RATIO * F) units, chosen
                    for gate, up and down apart, are drawn again with the mean and spread of what
                    stood there; nothing is claimed. The paper's ratio is 0.5
    granularity G   fine-grained experts (NVIDIA, arXiv 2410.07524): expert e is shard e mod G of the
                    ffn, F/G units; the router's rows are repeated G times (a virtual group), so that
                    the best `top-k`, a multiple of G, are whole groups

        F = 4, N = 6, G = 2:   units 01 23 | 01 23 | 01 23      router rows r0 r0 | r1 r1 | r2 r2

A group's shards weigh p/G each, where the whole ffn would weigh p: `scale` makes up for c = G.
`paper` multiplies gate, up and down by G^(1/3), as published (an activation is not homogeneous, so
nothing is claimed); `down` multiplies down by G, `sqrt` up and down by sqrt(G), and both are exact:
down and up are linear. The paper found that scaling down alone trained worse.
"""

from __future__ import annotations

import re
from fractions import Fraction

from growplan.algebra import Root
from growplan.diagnostics import fail
from growplan.methods.base import Ask, Claim, Method, Mixture, Option, OptionValue, UpcycleRequest

SCALES = ("paper", "down", "sqrt", "none")
NORMAL = re.compile(r"normal\((\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\)")
EXACT_SCALES = ("down", "sqrt")
LARGEST_DENOMINATOR = 1000  # of the fraction that stands for a cube root: off by less than 1e-6


class Upcycle(Method):
    """Experts that are copies or shards of one ffn."""

    def claim(self, ask: Ask) -> Claim:
        drawn = any(_amount(ask.options.get(name, "none")) for name in ("noise", "drop"))
        whole = ask.options.get("granularity", 1) == 1
        exact = whole or ask.options.get("scale", "paper") in EXACT_SCALES
        return Claim("exact" if exact and not drawn else "none")

    def upcycle(self, request: UpcycleRequest) -> Mixture:
        options = request.options
        shards = _whole("granularity", options.get("granularity", 1))
        active = _whole("top-k", options.get("top-k", 2 * shards))
        router = _router(str(options.get("router", "normal(0.02)")))
        noise, drop = (_amount(options.get(name, "none")) for name in ("noise", "drop"))
        _check_sizes(request, active, shards, router)
        kind = "shards" if shards > 1 else "copies"
        extra = [f"noise {noise:g}"] * (noise > 0) + [f"{drop:g} drawn again"] * (drop > 0)
        label = ", ".join([f"experts that are {kind}", *extra])
        if "scale" in options and shards == 1:
            fail(
                "GP230",
                "`scale` makes up for the weights of shards, and without `granularity` there are none",
                help=["write `granularity 2` with it, or as many shards as you want", "or leave `scale` out"],
                part="scale",
            )
        scales = _scales(shards, str(options.get("scale", "paper")))
        return Mixture(label, request.experts, active, shards, scales, router, noise, drop)


def _check_sizes(request: UpcycleRequest, active: int, shards: int, router: str) -> None:
    """Raises GP257: experts, top-k and granularity that do not go together."""
    experts, ffn = request.experts, request.ffn
    if experts < 2:
        message = "a mixture of one expert is the dense model"
        fail("GP257", message, help="give 2 experts or more, e.g. 8", part="experts")
    if experts % shards:
        below = max(shards, experts // shards * shards)
        fail(
            "GP257",
            f"{experts} experts are no whole groups of {shards} shards",
            help=f"use {below} or {below + shards} experts, or another `granularity`",
            part="granularity",
        )
    if ffn % shards:
        fail(
            "GP257",
            f"ffn {ffn} does not divide into {shards} shards",
            help="use a `granularity` that divides it, or widen the ffn first",
            part="granularity",
        )
    if active > experts:
        message = f"a token cannot pass {active} of {experts} experts"
        fail("GP257", message, help=f"`top-k` is at most {experts}", part="top-k")
    if active % shards:
        fail(
            "GP257",
            f"the best {active} experts are no whole groups of {shards} shards",
            help=f"`top-k {max(1, active // shards) * shards}`: a multiple of `granularity`",
            part="top-k" if "top-k" in request.options else "granularity",
        )
    if router == "zeros" and shards > 1:
        fail(
            "GP257",
            "a router of zeros cannot tell the groups of shards apart",
            help="leave `router` out: its rows are drawn, one for each group",
            part="router",
        )


def _router(init: str) -> str:
    """`zeros`, or `normal(STD)`. Raises GP116."""
    if init != "zeros" and not NORMAL.fullmatch(init):
        help = "`zeros`, or `normal(STD)` with a number, e.g. `normal(0.02)`"
        fail("GP116", f"`router` cannot be `{init}`", help=help, part="router")
    return init


def _scales(shards: int, scale: str) -> dict[str, Root]:
    """Factors of gate, up and down that make up for weights of 1/`shards`."""
    if shards == 1 or scale == "none":
        return {}
    if scale == "down":
        return {"down": Root.rational(shards)}
    if scale == "sqrt":
        return dict.fromkeys(("up", "down"), Root(Fraction(shards)))
    return dict.fromkeys(("gate", "up", "down"), cube_root(shards))


def cube_root(n: int) -> Root:
    """The cube root of `n` as a fraction: exact for a cube, else the nearest of a small denominator."""
    return Root.rational(Fraction(n ** (1 / 3)).limit_denominator(LARGEST_DENOMINATOR))


def _whole(name: str, value: OptionValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        fail("GP116", f"`{name}` cannot be `{value}`", help="a whole number from 1", part=name)
    return value


def _amount(value: OptionValue) -> float:
    return 0.0 if value == "none" else float(value)


METHOD = Upcycle(
    name="upcycle",
    title="the ffn becomes a mixture of experts: copies of it, or shards",
    paper="sparse upcycling arXiv 2212.05055; Drop-Upcycling 2502.19261; fine-grained 2410.07524",
    axes=("experts",),
    verbs=("upcycle",),
    training="NVIDIA's upcycling (arXiv 2410.07524) resets the learning rate to the peak of pre-training and "
    "decays it by a cosine, with a load-balancing loss of weight 0.01",
    options=(
        Option("top-k", 2, "experts that a token passes (default 2 for each of the `granularity`)"),
        Option("router", "normal(0.02)", "how the router is drawn: `normal(STD)`, or `zeros`, where all tie"),
        Option(
            "noise", "none", "standard deviation of what is added to every expert", ("none",), range=(0, 1e6)
        ),
        Option("drop", "none", "ratio of an expert's units that are drawn again", ("none",), range=(0, 1)),
        Option("granularity", 1, "shards that the ffn is cut into, one to an expert"),
        Option("scale", "paper", "what makes up for the weights of shards", SCALES),
    ),
)
