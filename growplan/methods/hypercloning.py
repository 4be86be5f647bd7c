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


class HyperCloning(Method):
    """Copies of everything, divided evenly."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("exact")

    def unties(self, options: Mapping[str, OptionValue]) -> bool:
        return options.get("head") == "untie"

    def widen(self, request: WidthRequest) -> list[Candidate]:
        for axis, (old, new) in request.grow.items():
            if new % old:
                _no_multiple(axis, old, new)
        snr = decibels(request.options.get("snr_db", "none"))
        noise = None if snr is None else Noise("paired", snr, spared=("vocab",))
        label = "even copies" if "hidden" in request.grow else "copies"
        return [Candidate(label, circular_maps(request), noise=noise)]


def _no_multiple(axis: str, old: int, new: int) -> NoReturn:
    near = [size for size in (new // old * old, (new // old + 1) * old) if size > old]
    fail(
        "GP231",
        f"`hypercloning` copies the model whole: `{axis}` {new} is no multiple of {old}",
        help=[f"widen {axis} to {' or '.join(map(str, near))}", "or `via lemon`, which takes any size"],
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
