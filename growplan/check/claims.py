"""Claims and proofs of width: which candidate types, how strong it is, what to say when it is not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce
from typing import Any

from growplan.algebra import Expansion
from growplan.check.acts import Typing
from growplan.check.blocks import in_line_norms
from growplan.check.branches import BRANCH, branches
from growplan.check.resolve import Request
from growplan.check.rules import Refusal
from growplan.check.settle import with_followers
from growplan.check.trial import widens
from growplan.check.typed import (
    ModuleTyping,
    OperatorCost,
    ParamRewrite,
    PredictorCost,
    Proof,
    TypedStep,
    Upcycling,
    Violation,
)
from growplan.check.types import type_model
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.families.model import Model
from growplan.families.rope import ROPE_KEYS, largest_head_dim, read_rope, with_theta
from growplan.methods.base import (
    Candidate,
    Claim,
    LayerSource,
    LeafSpec,
    Method,
    Operator,
    Predictor,
    Where,
    WidthRequest,
    domain_of,
)

NO_GRAFT = "no new unit has a layer above to come from: this is FPI, copies of the layer's own units"


@dataclass(frozen=True)
class StepProof:
    """The part of a typed step that proving it yields."""

    candidate: str
    proof: Proof
    maps: Mapping[str, Expansion]
    stream: Expansion | None
    rewrites: tuple[ParamRewrite, ...] = ()
    typings: tuple[ModuleTyping, ...] = ()
    violations: tuple[Violation, ...] = ()
    layers: tuple[LayerSource, ...] = ()
    config: tuple[tuple[str, object], ...] = ()
    operator: Operator | None = None
    leaves: tuple[LeafSpec, ...] = ()
    fit_cost: OperatorCost | None = None
    start: tuple[TypedStep, ...] = ()
    predictor: Predictor | None = None
    predictor_cost: PredictorCost | None = None
    after: Model | None = None  # of another family, where the step makes one
    upcycling: Upcycling | None = None
    attached: StepProof | None = (
        None  # of the model behind the runtime's masks, where a stock load has another
    )
    behind: Mapping[str, Any] = field(default_factory=dict)  # of the model after: what stands behind masks


def weakest(claims: Sequence[Claim]) -> Claim:
    """The claim of a whole plan: all of its steps' in a row; a plan without steps is exact."""
    return reduce(Claim.joined, claims, Claim("exact"))


def prove_width(request: Request, method: Method, model: Model, promised: Claim, key: str) -> StepProof:
    """Take the first candidate that types. Raises GP201 (none does) or GP204 (too weak)."""
    asked = WidthRequest(request.grow, model.sizes, key, request.options)
    refusals: list[tuple[Candidate, Refusal]] = []
    try:
        proposals = method.widen(asked)
    except DiagnosticError as error:
        raise DiagnosticError(*(_other_methods(d, request, model) for d in error.diagnostics)) from None
    for proposed in proposals:
        grows = proposed.grid is not None or any(e.size != e.old for e in proposed.maps.values())
        candidate = proposed if grows else replace(proposed, label="unchanged")
        if BRANCH in candidate.maps and not branches(model):
            continue
        try:
            typing = type_model(model, candidate)
            attached = _attached(request, model, candidate)
        except Refusal as refusal:
            refusals.append((candidate, refusal))
            continue
        except ValueError as error:  # an axis expression outside the row language
            refusals.append((candidate, Refusal("an axis that splits into whole units", str(error))))
            continue
        if typing.grafted:
            candidate = replace(candidate, label=f"{candidate.label} of the layer above")
        proof = _width_proof(request, candidate, typing)
        if not proof.claim.covers(promised):
            raise DiagnosticError(_too_weak(request, model, promised, proof, refusals))
        return replace(_step_proof(model, candidate, typing, proof), attached=attached)
    raise DiagnosticError(_impossible(request, model, promised, refusals))


def _attached(request: Request, model: Model, candidate: Candidate) -> StepProof | None:
    """The proof of the model behind masks, where a candidate has another form for it. Raises Refusal."""
    if candidate.attached is None:
        return None
    typing = type_model(model, candidate.attached)
    proof = _width_proof(request, candidate.attached, typing)
    return _step_proof(model, candidate.attached, typing, proof)


def _width_proof(request: Request, candidate: Candidate, typing: Typing) -> Proof:
    if typing.grafted:
        return _grafted(candidate, typing.grafted)
    before, after = request.grow.get("image", (0, 0))
    if before != after and candidate.grid is None:
        reason = "the grid of patches stays, and an image of another size is another input"
        return Proof(Claim("none"), (reason,))
    if candidate.grid is not None:
        reason = "position embeddings are interpolated: an image of another size is another input"
        return Proof(Claim("none"), (reason,))
    if typing.violations:
        norms = tuple(f"{v.module}: {v.reason}; {v.bound}" for v in typing.violations)
        reason = "the law holds for every weight, but not through a norm:"
        return Proof(Claim("approximate"), (*([NO_GRAFT] if candidate.graft else ()), reason, *norms))
    reasons = [f"{candidate.label}: W*·E_in = E_out·W for every weight"]
    for factor in sorted({f for f, _ in typing.eps.values()} - {Fraction(1)}):
        keys = ", ".join(sorted(key for key, (f, _) in typing.eps.items() if f == factor))
        reasons.append(f"norms see {factor} of the old energy: scale × sqrt({factor}), `{keys}` × {factor}")
    if typing.rotary is not None:
        reasons.append(f"rotary pairs keep their frequencies: theta* = theta^({typing.rotary[0]})")
    if typing.tied and typing.stream is not None and typing.stream.most_copies > 1:
        reasons.append("the tied head reads the embedding: the last norm divides by the copy count")
    if candidate.graft:
        reasons.append(NO_GRAFT)
    if any(rewrite.has_noise for rewrite in typing.rewrites.values()):
        reasons.append("noise on the copies of a unit cancels where they are read: N·E_in = 0")
    if "experts" in request.grow:
        (old, new), (k, wider) = request.grow["experts"], request.grow["active"]
        reasons.append(
            f"the best {wider} of {new} scores are the {new // old} copies of the best {k} of {old}"
        )
    where: Where = "stock"
    if candidate.attached is not None:
        reasons.append(
            "behind masks: norms weigh new units by a mask of 0; scale and epsilon are the old ones"
        )
    elif candidate.masked == "hidden":
        reasons.append("norms of the stream weigh new units by a mask of 0, while masks are attached")
        where = "attached"
    elif candidate.masked:
        reasons.append(f"new units of `{candidate.masked}` are read through a mask of 0")
    read = tuple(axis for axis, (old, new) in request.grow.items() if new > old and axis in typing.inputs)
    return Proof(Claim("exact", domain_of(read), where), tuple(reasons))


def _grafted(candidate: Candidate, grafted: Sequence[ParamRewrite]) -> Proof:
    """Nothing is preserved where slices come from the layer above: which they are, and why."""
    said = []
    for side, word in (("rows", "rows"), ("cols", "columns")):
        modules = dict.fromkeys(".".join(r.module.split(".")[-2:]) for r in grafted if r.graft == side)
        said += [f"new {word} of {', '.join(modules)}"] if modules else []
    return Proof(
        Claim("none"),
        (
            f"{candidate.label}: {'; '.join(said)}",
            "a layer with units of the next one computes another function, by design",
            "the top layer has none above it and copies its own units; so do embeddings, norms and head",
        ),
    )


def _step_proof(model: Model, candidate: Candidate, typing: Typing, proof: Proof) -> StepProof:
    return StepProof(
        candidate=candidate.label,
        proof=proof,
        maps=candidate.maps,
        stream=typing.stream,
        rewrites=tuple(typing.rewrites.values()),
        typings=(*typing.typings.values(), *typing.tied),
        violations=() if typing.grafted else tuple(typing.violations),
        config=(*_eps_config(model, typing), *_rope_config(model, typing)),
        behind={"read_units": model.read_units or model.sizes["hidden"]}
        if candidate.masked == "hidden" and candidate.attached is None
        else {},
    )


def _eps_config(model: Model, typing: Typing) -> tuple[tuple[str, object], ...]:
    """New values of the epsilon keys whose factor is not 1."""
    changed = ((k, f, m) for k, (f, m) in typing.eps.items() if f != 1)
    return tuple((k, float(Fraction(model.eps(model.modules[m])) * f)) for k, f, m in changed)


def _rope_config(model: Model, typing: Typing) -> tuple[tuple[str, object], ...]:
    """theta* = theta^(dh*/dh), written where the config keeps its theta."""
    return () if typing.rotary is None else tuple(with_theta(model.config, typing.rotary[1]).items())


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


def _impossible(
    request: Request, model: Model, promised: Claim, refusals: Sequence[tuple[Candidate, Refusal]]
) -> Diagnostic:
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


def _too_weak(
    request: Request,
    model: Model,
    promised: Claim,
    proof: Proof,
    refusals: Sequence[tuple[Candidate, Refusal]],
) -> Diagnostic:
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


def _other_methods(found: Diagnostic, request: Request, model: Model) -> Diagnostic:
    """A mistake that a method found, with only those of the other methods it names that type here."""
    named = ((words, re.match(r"or `via ([\w-]+)", words)) for words in found.help)
    return replace(found, help=tuple(w for w, m in named if m is None or widens(m[1], request.grow, model)))


def _head_sizes(model: Model, old: int, new: int) -> list[int]:
    """The even sizes beside an odd one, and the largest that rotary positions allow."""
    sizes = [new - 1, new + 1] if new % 2 else []
    if any(key in model.config for key in ROPE_KEYS):
        sizes.append(largest_head_dim(read_rope(model.config), old))
    return [size for size in sizes if size > old]
