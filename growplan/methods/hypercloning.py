"""`hypercloning`: whole copies of a model side by side (Samragh et al., arXiv 2409.12903).

rewrite:   x : n   ->   [x ; ... ; x] : k n
           W       ->   W / k tiled k_out x k times, plus noise: +N, -N on pairs of copies

Integer multiples only. Query heads and kv heads are whole copies; under grouped queries they are
interleaved, each copy of a head in a group of its own kv head (the port tiled them at first and
fixed it, apple/ml-hypercloning issue 1). `snr_db` adds a null term in pairs of copies, DB below
the weights, on everything but embeddings and the output head: as exact, and it breaks the tie
between copies. A tied head adds up the copies, so the last norm
is divided by k. `head untie` gives it a matrix of its own first, which is divided instead, as the
authors' port of LLaMA does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from growplan.diagnostics import fail
from growplan.methods.base import (
    Ask,
    Candidate,
    Claim,
    Method,
    Noise,
    Option,
    OptionValue,
    WidthRequest,
    decibels,
)
from growplan.methods.bert2bert import circular_maps
from growplan.methods.support.heads import laid_out


class HyperCloning(Method):
    """Copies of everything, divided evenly."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("exact")

    def unties(self, options: Mapping[str, OptionValue]) -> bool:
        return options.get("head") == "untie"

    def widen(self, request: WidthRequest) -> list[Candidate]:
        if any(new % old for old, new in request.grow.values()):
            _no_multiple(request)
        snr = decibels(request.options.get("snr_db", "none"))
        noise = None if snr is None else Noise("paired", snr, spared=("vocab",))
        label = "even copies" if "hidden" in request.grow else "copies"
        return [Candidate(label, circular_maps(request), noise=noise)]


def _no_multiple(request: WidthRequest) -> NoReturn:
    """GP231 with multiples, and a method for any size, that have a head layout."""
    wrong = [axis for axis, (old, new) in request.grow.items() if new % old]
    ways = []
    for more in (0, 1):
        sizes = {a: (old, (new // old + more) * old) for a, (old, new) in request.grow.items() if a in wrong}
        if all(new > old for old, new in sizes.values()) and laid_out(
            {**request.grow, **sizes}, request.sizes
        ):
            ways.append(_named(sizes, request))
    if not ways:
        times = max(-(-new // old) for old, new in request.grow.values())
        every = [axis for axis in request.sizes if axis in wrong or axis in ("heads", "kv_heads")]
        ways = [_named({axis: (request.sizes[axis], times * request.sizes[axis]) for axis in every}, request)]
    first, *others = ways
    named = [way.removeprefix(f"{wrong[0]} to ") if len(wrong) == 1 else way for way in others]
    help = [f"widen {' or '.join((first, *named))}"]
    if laid_out(request.grow, request.sizes):
        help.append("or `via lemon`, which takes any size")
    old, new = request.grow[wrong[0]]
    what = f"`{wrong[0]}` {new} is no multiple of {old}"
    fail("GP231", f"`hypercloning` copies the model whole: {what}", help=help)


def _named(sizes: Mapping[str, tuple[int, int]], request: WidthRequest) -> str:
    """`heads to 12 and kv_heads to 4`; kv_heads that follow heads are left out."""
    follow = request.grow.get("heads") == request.grow.get("kv_heads")
    return " and ".join(
        f"{axis} to {new}" for axis, (_, new) in sizes.items() if not (follow and axis == "kv_heads")
    )


METHOD = HyperCloning(
    name="hypercloning",
    title="the model k times side by side, evenly divided; paired noise keeps it exact",
    paper="HyperCloning arXiv 2409.12903",
    axes=("hidden", "ffn", "heads", "kv_heads"),
    verbs=("widen", "grow"),
    options=(
        Option(
            "snr_db",
            "none",
            "weights over paired noise, in decibels",
            ("none",),
            range=(-200, 200),
        ),
        Option(
            "head",
            "tied",
            "untie: a head that reads the embedding gets a matrix of its own",
            ("tied", "untie"),
        ),
    ),
)
