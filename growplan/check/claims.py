"""Claims and proofs of width: which candidate types, how strong it is, what to say when it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce
from typing import Any

from growplan.algebra import Expansion
from growplan.check.acts import Typing
from growplan.check.branches import BRANCH, branches
from growplan.check.refused import impossible, other_methods, too_weak
from growplan.check.resolve import Request
from growplan.check.rules import Refusal
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
from growplan.diagnostics import DiagnosticError
from growplan.families.model import Model
from growplan.families.rope import with_theta
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
    attached: StepProof | None = None  # of the model behind masks, where a stock load has another
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
        raise DiagnosticError(*(other_methods(d, request, model) for d in error.diagnostics)) from None
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
            raise DiagnosticError(too_weak(request, model, promised, proof, refusals))
        return replace(_step_proof(model, candidate, typing, proof), attached=attached)
    raise DiagnosticError(impossible(request, model, refusals))


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
    if candidate.masked == "hidden" and candidate.attached is None:
        reasons.append("norms of the stream weigh new units by a mask of 0, while masks are attached")
        where = "attached"
    elif candidate.masked and candidate.attached is None:
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
