"""A typed step put together from a settled request and the part of it that was proved."""

from __future__ import annotations

from dataclasses import replace

from growplan.check.claims import StepProof
from growplan.check.fitted import Fit
from growplan.check.resolve import Request
from growplan.check.twins import Twins, after_depth, after_width
from growplan.check.typed import TypedStep
from growplan.families import explicit_config
from growplan.families.model import Model
from growplan.language.printing import bare, quote
from growplan.methods.base import Claim, Method


def assembled(
    request: Request,
    method: Method,
    before: Model,
    part: StepProof,
    index: int,
    promised: Claim,
    key: str,
    fit: Fit | None = None,
    notes: tuple[str, ...] = (),
) -> TypedStep:
    """The typed step number `index`, whose draws begin with `key`.

    `notes`: what else is to be said of it, after the reasons of its proof. What a method promises with masks
    attached is promised of a stock load where that is proved.
    """
    if part.proof.claim.where == "stock":
        promised = replace(promised, where="stock")
    grown = part.after or _resized(before, request, dict(part.config))
    after = grown if part.after else replace(grown, twins=_twins(before, part), **part.behind)
    axes = tuple((axis, old, new) for axis, (old, new) in request.grow.items())
    if part.upcycling is not None:  # a dense ffn is one expert of one
        moved = {a: (before.sizes.get(a, 1), n) for a, n in after.sizes.items()}
        axes = tuple((axis, old, new) for axis, (old, new) in moved.items() if old != new)
    return TypedStep(
        index=index,
        id=request.id,
        verb=request.verb,
        method=method.name,
        axes=axes,
        text=step_text(request),
        origin=f"implied by {request.id.split('/')[0]}" if request.implied else str(request.span or ""),
        implied=request.implied,
        candidate=part.candidate,
        promised=promised,
        proof=replace(part.proof, reasons=(*part.proof.reasons, *notes)),
        before=before,
        after=after,
        maps=part.maps,
        stream=part.stream,
        rewrites=part.rewrites,
        typings=part.typings,
        violations=part.violations,
        layers=part.layers,
        config=part.config,
        key=key,
        upcycling=part.upcycling,
        fit=fit,
        operator=part.operator,
        leaves=part.leaves,
        fit_cost=part.fit_cost,
        predictor=part.predictor,
        predictor_cost=part.predictor_cost,
        start=part.start,
        data=(request.step.on or "") if request.step is not None and method.learned else "",
        ramp=method.ramp(request.options, request.over),
        attached=None
        if part.attached is None
        else assembled(request, method, before, part.attached, index, promised, key),
        span=request.span,
    )


def _twins(before: Model, part: StepProof) -> Twins:
    if part.operator is not None:
        return {}
    if part.layers:
        return after_depth(before, part.layers)
    return after_width(before, part.maps, any(r.graft for r in part.rewrites))


def _resized(before: Model, request: Request, config: dict[str, object]) -> Model:
    sizes = {**before.sizes, **{axis: new for axis, (_, new) in request.grow.items()}}
    return before.resized(sizes, explicit_config(before, sizes, config))


def step_text(request: Request) -> str:
    """The canonical line: `widen hidden 384→768 via fpi`; axes that follow, which come last, are left out."""
    tail = "".join(f", {key} {value}" for key, value in request.options.items())
    if request.verb == "upcycle":
        return f"upcycle ffn to {request.grow['experts'][1]} experts via {request.via}{tail}"
    shown = list(request.grow.items())[: len(request.step.growths) if request.step is not None else None]
    parts = ", ".join(f"{axis} {old}→{new}" for axis, (old, new) in shown)
    return f"{request.verb} {parts} via {request.via}{_fitted(request)}{tail}"


def _fitted(request: Request) -> str:
    """` on corpus.txt for 100 steps`, or ` over 100 steps`, as far as the plan says it."""
    step = request.step
    if request.over is not None:
        return f" over {request.over} steps"
    if step is None or step.on is None:
        return ""
    path = step.on if bare(step.on) else quote(step.on)
    return f" on {path}" + ("" if step.steps is None else f" for {step.steps} steps")
