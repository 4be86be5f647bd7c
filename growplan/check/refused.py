"""What to say where no candidate of a method types, or none is strong enough: needs, and ways out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from growplan.check.blocks import in_line_norms
from growplan.check.resolve import Request
from growplan.check.rules import Refusal
from growplan.check.settle import with_followers
from growplan.check.trial import widens
from growplan.check.typed import Proof
from growplan.diagnostics import Diagnostic
from growplan.families.model import Model
from growplan.families.rope import ROPE_KEYS, largest_head_dim, read_rope
from growplan.methods.base import Candidate, Claim


def _notes(refusals: Sequence[tuple[Candidate, Refusal]], model: Model) -> list[tuple[str, str]]:
    """What each candidate needs and was given; one that fails as another did is not listed again."""
    notes: list[tuple[str, str]] = []
    for i, (candidate, refusal) in enumerate(refusals):
        if any((r.needs, r.module) == (refusal.needs, refusal.module) for _, r in refusals[:i]):
            continue
        where = f" ({refusal.module})" if refusal.module else ""
        notes.append((candidate.label, f"needs {refusal.needs}{where}"))
        notes.append(("found", refusal.found))
    return notes


def impossible(request: Request, model: Model, refusals: Sequence[tuple[Candidate, Refusal]]) -> Diagnostic:
    """GP201: no candidate types; what each needs, and what would work."""
    what, implied = _sizes(request), ", which the step implies," if request.implied else ""
    return Diagnostic(
        "GP201",
        f"`{request.via}` cannot grow {what}{implied} in the {model.family.name} family",
        request.span,
        (*_implied(request), *_notes(refusals, model), *_post_norm(request, model)),
        tuple(_ways_out(request, model)),
    )


def _implied(request: Request) -> list[tuple[str, str]]:
    """Of a step that the plan does not write: the equation that asks for it."""
    return [("implied by", request.implied.replace("==", "="))] if request.implied else []


def _post_norm(request: Request, model: Model) -> list[tuple[str, str]]:
    """Why no size but a multiple is exact where norms stand in the residual stream."""
    old, new = request.grow.get("hidden", (1, 1))
    if new % old == 0 or in_line_norms(model) == ():
        return []
    reason = (
        "post-norm: a norm puts its constant shift on every unit that is no copy, so the next sum holds "
        "neither the mean of its units there nor zero; and unevenly copied units move its mean"
    )
    return [("why", reason)]


def too_weak(
    request: Request,
    model: Model,
    promised: Claim,
    proof: Proof,
    refusals: Sequence[tuple[Candidate, Refusal]],
) -> Diagnostic:
    """GP204: what is proved is weaker than what was promised."""
    notes = [
        *_implied(request),
        ("claim", str(promised)),
        ("proof", str(proof.claim)),
        *(("why", r) for r in proof.reasons),
    ]
    return Diagnostic(
        "GP204",
        f"`{request.via}` cannot keep {_sizes(request)} {promised.strength}",
        request.span,
        (*notes, *_notes(refusals[:1], model)),
        (*_ways_out(request, model), weaker(proof.claim)),
    )


def weaker(claim: Claim) -> str:
    """How to accept what was proved."""
    if claim.strength == "exact":
        return f"leave `expect` out: it is {claim}"
    return f"or `expect {claim.strength}`"


def _sizes(request: Request) -> str:
    named = {axis: sizes for axis, sizes in request.grow.items() if axis != "active"}
    return " and ".join(f"`{axis}` {old}→{new}" for axis, (old, new) in named.items())


def _shown(grow: Mapping[str, tuple[int, int]]) -> str:
    """The first axis of a step, as a line has it; the others follow from it."""
    axis, (old, new) = next(iter(grow.items()))
    return f"{axis} {old}→{new}"


def _ways_out(request: Request, model: Model) -> list[str]:
    """Sizes and methods that would work: each was typed before it is named."""
    via, grow = request.via, dict(request.grow)
    tries: list[tuple[str, str, dict[str, tuple[int, int]]]] = []
    if "hidden" in grow and grow["hidden"][1] % grow["hidden"][0]:
        old, new = grow["hidden"]
        multiple = (new // old + 1) * old
        words = f"widen hidden to {multiple}, a multiple of {old}"
        tries.append((words, via, {**grow, "hidden": (old, multiple)}))
    if "experts" in grow and grow["experts"][1] % grow["experts"][0]:
        old, new = grow["experts"]
        multiple = (new // old + 1) * old
        sizes = with_followers({**grow, "experts": (old, multiple)}, model)
        tries.append((f"widen experts to {multiple}, a multiple of {old}", via, sizes))
    if "head_dim" in grow:
        old = grow["head_dim"][0]
        for size in _head_sizes(model, *grow["head_dim"]):
            tries.append((f"widen head_dim to {size}", via, {**grow, "head_dim": (old, size)}))
    step = f"widen {_shown(grow)} " if request.implied else ""  # no line of the plan has its `via`
    if via != "fpi":
        tries.append((f"`{step}via fpi`, which is exact here", "fpi", grow))
    if via != "bert2bert":
        tries.append((f"`{step}via bert2bert` (approximate, as published)", "bert2bert", grow))
    ways = [words for words, name, sizes in tries if widens(name, sizes, model)]
    if not ways and "head_dim" in grow:
        return [f"keep head_dim at {grow['head_dim'][0]}, and grow heads or hidden instead"]
    if not ways and "image" in grow:
        return [f"keep the image at {grow['image'][0]}: nothing preserves what another image gives"]
    return ways or ["`growplan methods` lists other methods, with what they grow"]


def other_methods(found: Diagnostic, request: Request, model: Model) -> Diagnostic:
    """A mistake that a method found, with only those of the other methods it names that type here."""
    named = ((words, re.match(r"or `via ([\w-]+)", words)) for words in found.help)
    return replace(found, help=tuple(w for w, m in named if m is None or widens(m[1], request.grow, model)))


def _head_sizes(model: Model, old: int, new: int) -> list[int]:
    """The even sizes beside an odd one, and the largest that rotary positions allow."""
    sizes = [new - 1, new + 1] if new % 2 else []
    if any(key in model.config for key in ROPE_KEYS):
        sizes.append(largest_head_dim(read_rope(model.config), old))
    return [size for size in sizes if size > old]
