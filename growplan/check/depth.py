"""Depth: what a stack of old, silent, copied and fresh layers is proved to be.

A silent block adds zero to the residual stream. Under pre-norm it is the identity. Under post-norm
it passes its input through its in-line norms, and

    LN_affine(LN_plain(y)) = LN_affine(y)      up to the epsilon

so the last norm of the old layer becomes plain (scale 1, shift 0), every in-line norm of the new
blocks is plain, and the last one of the run carries the old scale and shift (LEMON, arXiv
2310.07999). The other norms of the old layer stay: what stands between them is not silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from growplan.check.blocks import in_line_norms, last_module, writers
from growplan.check.claims import StepProof
from growplan.check.norms import twice_bound
from growplan.check.predictors import predictor_cost
from growplan.check.refused import weaker
from growplan.check.resolve import Request
from growplan.check.twins import copied_readers, lost_at
from growplan.check.typed import Proof, TypedStep, Violation
from growplan.diagnostics import Diagnostic, DiagnosticError, fail
from growplan.families.layer_lists import grown_lists
from growplan.families.model import Model
from growplan.families.window import deeper
from growplan.methods.base import Claim, LayerSource, Method
from growplan.methods.support.layers import spread

Layers = tuple[LayerSource, ...]
WIDE = 80  # of a list of layers in a reason


def depth_proof(
    request: Request, method: Method, model: Model, promised: Claim, earlier: Sequence[TypedStep] = ()
) -> StepProof:
    """Layers copied, inserted or drawn. Raises GP204 where the claim asks for more than is proved.

    `earlier`: the plan's steps so far, for what to say of copies that are equal no more.
    """
    old, new = request.grow["depth"]
    try:
        layers = method.deepen(old, new, request.options)
    except DiagnosticError as error:
        raise DiagnosticError(
            *(_kept(d, request, method, model, promised) for d in error.diagnostics)
        ) from None
    assert len(layers) == new
    if any(s.writers == "cancel" for s in layers):
        _check_copies(request, model, earlier)
    part = _proved(model, layers, old)
    if not part.proof.claim.covers(promised):
        fail(
            "GP204",
            f"`{method.name}` cannot keep `depth` {old}→{new} {promised.strength}",
            request.span,
            notes=[("claim", str(promised)), ("proof", str(part.proof.claim))]
            + [("why", reason) for reason in part.proof.reasons],
            help=[*_ways_out(model, old, new, promised), weaker(part.proof.claim)],
        )
    sources = [s.place for s in part.layers]
    config = grown_lists(model, sources) | deeper(model.family.window, model.config, sources)
    part = replace(part, config=tuple(config.items()))
    predictor = method.predictor(request.options)
    if predictor is None:
        return part
    return replace(part, predictor=predictor, predictor_cost=predictor_cost(model, part.layers, predictor))


def _check_copies(request: Request, model: Model, earlier: Sequence[TypedStep]) -> None:
    """GP233 where a module that would cancel over copies reads none."""
    found = writers(model)
    alone = [name for name in found if name not in copied_readers(model, found)]
    if alone:
        read = (model.modules[name].ins for name in alone)
        axes = sorted({axis for ins in read if ins is not None for axis in ins.axes} - {"head_dim"})
        fail(
            "GP233",
            f"`{alone[0]}` reads no copies that this plan has made, so nothing cancels there",
            request.span,
            notes=_lost(axes, earlier),
            help=[
                f"widen {' and '.join(axes)} in a step before this one"
                + (f", after step {lost_at(axes, earlier)}" if lost_at(axes, earlier) else ""),
                "or `type 1`, whose new blocks are zero",
            ],
        )


def _lost(axes: Sequence[str], earlier: Sequence[TypedStep]) -> list[tuple[str, str]]:
    """The step after which copies that the plan made are not known to be equal."""
    at = lost_at(axes, earlier)
    if not at:
        return []
    return [
        (
            f"step {at}",
            f"`{earlier[at - 1].text}`: copies that the plan made are not known to be equal after it",
        )
    ]


def _proved(model: Model, layers: Layers, old: int) -> StepProof:
    label = _label(layers, old)
    in_place = [s.layer for s in layers if not s.silent] == list(range(old))
    if any(s.predicted is not None for s in layers):
        reason = "a predicted block reads what another block wrote: nothing is preserved"
        where = _after(layers)
        return _part(label, Claim("none"), (reason, f"new layers stand {where}"), layers)
    if not in_place or any(s.fresh and not s.silent for s in layers):
        why = "a new layer of drawn values" if any(s.fresh for s in layers) else "a copied block"
        reason = f"{why} reads what another block wrote: nothing is preserved"
        return _part(label, Claim("none"), (reason, f"the layers are {_shown(layers)}"), layers)
    if len(layers) == old:
        return _part(label, Claim("exact"), ("no layer is added",), layers)
    norms = in_line_norms(model)
    if any(s.writers == "masked" for s in layers):
        return _masked(model, label, layers, norms == ())
    if norms is None:
        reason = "a block with zero projections still changes its input, so it is no identity"
        return _part(label, Claim("none"), (reason,), layers)
    zero = ", ".join(name.partition(".")[2] or name for name in writers(model))
    what = "= 0" if not any(s.writers == "cancel" for s in layers) else "cancel over equal units"
    reason = f"{_blocks(len(layers) - old)} zero to the residual stream ({zero} {what})"
    if norms == ():
        return _part(label, Claim("exact"), (reason, _after(layers)), layers)
    refusal = _fixed(model, norms, layers)
    if refusal:
        return _part(label, Claim("none"), (f"post-norm: {refusal}",), layers)
    moved = "the scale and shift of the norm below a run of new blocks move to its end"
    reasons = (reason, _after(layers), moved)
    violations = _violations(model, norms)
    return _part(label, Claim("approximate"), reasons, _moved(norms, layers), violations)


def _masked(model: Model, label: str, layers: Layers, pre_norm: bool) -> StepProof:
    """New blocks behind a mask of 0: what they write, or, where norms stand in line, the whole of them."""
    count = len(layers) - sum(not s.silent for s in layers)
    if pre_norm:
        names = ", ".join(name.partition(".")[2] or name for name in writers(model))
        reason = f"{_blocks(count)} zero to the residual stream ({names} behind a mask of 0)"
        return _part(label, Claim("exact"), (reason, _after(layers)), layers)
    reason = f"h -> m f(h) + (1 - m) h for {_counted(count)}, m = 0, while masks are attached"
    behind = tuple(replace(s, writers="bypassed") if s.silent else s for s in layers)
    part = _part(label, Claim("exact", where="attached"), (reason, _after(layers)), behind)
    hidden = frozenset(i for i, s in enumerate(layers) if s.silent)
    return replace(part, behind={"bypassed": model.bypassed | hidden})


def _part(
    label: str, claim: Claim, reasons: tuple[str, ...], layers: Layers, violations: tuple[Violation, ...] = ()
) -> StepProof:
    return StepProof(label, Proof(claim, reasons), {}, None, layers=layers, violations=violations)


# post-norm -----------------------------------------------------------------------------------------


def _fixed(model: Model, norms: tuple[str, ...], layers: Layers) -> str:
    """Why the scale and shift of the last in-line norm cannot move up; empty where they can."""
    modules = [model.modules[name] for name in norms]
    last = modules[-1]
    if any((m.kind, m.outs, m.eps) != (last.kind, last.outs, last.eps) for m in modules):
        return "its norms in line differ in kind, axis or epsilon, so they do not repeat each other"
    if len(set(norms)) < len(norms) or not all(m.in_layer for m in modules):
        return "a norm in line is used twice, so it cannot change in one place alone"
    if last_module(model) != last.name:
        return f"a block does not end in `{last.name}`, so its scale and shift cannot move up"
    if layers[0].silent:
        return "a first block has no layer below it whose scale and shift it could carry"
    return ""


def _moved(norms: tuple[str, ...], layers: Layers) -> Layers:
    """The layers with their norms settled: the last in-line norm moves to the end of each run."""
    *others, last = norms
    out: list[LayerSource] = []
    carried = 0
    for i, source in enumerate(layers):
        ends = i + 1 == len(layers) or not layers[i + 1].silent
        if not source.silent:
            carried = source.layer
            out.append(source if ends else replace(source, norms=((last, None),)))
            continue
        plain = tuple((name, None) for name in others)
        out.append(replace(source, norms=(*plain, (last, carried if ends else None))))
    return tuple(out)


def _violations(model: Model, norms: tuple[str, ...]) -> tuple[Violation, ...]:
    *others, last = norms
    bound = twice_bound(model.eps(model.modules[last]))
    reason = "normalises in new blocks what is normalised already"
    plain = (Violation(name, "the same", f"counted in the bound of {last}") for name in others)
    return (Violation(last, reason, bound), *plain)


# words ---------------------------------------------------------------------------------------------


def _kept(found: Diagnostic, request: Request, method: Method, model: Model, promised: Claim) -> Diagnostic:
    """GP121 whose depths cannot keep the claim either names what can."""
    old, new = request.grow["depth"]
    if found.code != "GP121" or promised.strength == "none":
        return found
    for depth in range(old + 1, 2 * old + 1):
        try:
            layers = method.deepen(old, depth, request.options)
        except DiagnosticError:
            continue
        if _proved(model, layers, old).proof.claim.covers(promised):
            return found
    ways = _ways_out(model, old, new, promised)
    return replace(found, help=tuple(ways)) if ways else found


def _ways_out(model: Model, old: int, new: int, promised: Claim) -> list[str]:
    """`via identity`, where that keeps what is promised."""
    spread_out = _proved(model, spread(old, new), old).proof.claim
    if not spread_out.covers(promised):
        return []
    return [f"`deepen depth {old}→{new} via identity`, which is {spread_out}"]


def _label(layers: Sequence[LayerSource], old: int) -> str:
    if any(s.predicted is not None for s in layers):
        return "layers predicted"
    if any(s.writers == "masked" for s in layers):
        return "masked blocks"
    if any(s.silent for s in layers):
        return "identity blocks"
    order = [s.layer for s in layers]
    if any(s.fresh for s in layers):
        return "fresh layers"
    if order == list(range(old)):
        return "unchanged"
    if order == [i % old for i in range(len(order))]:
        return "stack appended"
    return "layers copied"


def _shown(layers: Sequence[LayerSource]) -> str:
    """`0:24, 8:32`; a layer repeated in place is `3 ×2`, drawn ones are counted: `0:3, 2 fresh`."""
    runs = [(key, len(list(run))) for key, run in groupby(layers, lambda s: None if s.fresh else s.layer)]
    parts: list[str] = []
    i = 0
    while i < len(runs):
        key, count = runs[i]
        start, i = i, i + 1
        if key is None:
            parts.append(f"{count} fresh")
        elif count > 1:
            parts.append(f"{key} ×{count}")
        else:
            while i < len(runs) and runs[i] == (key + i - start, 1):
                i += 1
            parts.append(f"{key}:{key + i - start}" if i - start > 1 else f"{key}")
    return _cut(", ".join(parts))


def _blocks(count: int) -> str:
    return f"{_counted(count)} {'adds' if count == 1 else 'add'}"


def _counted(count: int) -> str:
    return "1 new block" if count == 1 else f"{count} new blocks"


def _after(layers: Sequence[LayerSource]) -> str:
    """`after layers 3, 7, 11`: the old layers that new ones follow."""
    below, found = "the embeddings", list[str]()
    for s in layers:
        if s.silent or s.predicted is not None:
            found.append(below)
        else:
            below = f"{s.layer}"
    names = list(dict.fromkeys(found))
    word = "after " if names == ["the embeddings"] else "after layer " if len(names) == 1 else "after layers "
    return _cut(word + ", ".join(names))


def _cut(text: str) -> str:
    return text if len(text) <= WIDE else f"{text[:WIDE].rpartition(',')[0]}, …"
