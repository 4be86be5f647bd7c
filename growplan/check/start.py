"""The static steps that a general operator begins as: `via ligo on FILE, init fpi`.

All axes of width that the step grows are grown by the method at once; layers are added by it where it
adds layers, else copied in the order that `depth-init` names. Nothing is asked of the claim: it holds
at step 0 and the fit moves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from growplan.check.claims import prove_width
from growplan.check.depth import depth_proof
from growplan.check.resolve import Request
from growplan.check.steps import assembled
from growplan.check.typed import TypedStep
from growplan.diagnostics import DiagnosticError, fail
from growplan.families.model import Model
from growplan.methods import get_method, method_names
from growplan.methods.base import Claim, LayerSource, Method, Operator, OptionValue
from growplan.methods.support.layers import copies

ADDS_LAYERS = ("stack", "deepen")
COPIED = ("stackbert", "interlace")
FIRST = ("fpi", "lemon", "bert2bert", "aki")  # in a list of ways


def starts(name: str) -> Method | None:
    """The method of that name, where an operator could begin as what it makes."""
    method = get_method(name)
    if method is None or method.learned or method.on_data or method.grids:
        return None
    if method.predictor({}) is not None:
        return None
    able = set(method.verbs) & {"widen", "grow", "mask-in", *ADDS_LAYERS}
    return method if able else None


def start_names() -> tuple[str, ...]:
    """The methods that an operator can begin as, at some sizes of some model."""
    return tuple(name for name in method_names() if starts(name) is not None)


def check_together(request: Request, operator: Operator) -> None:
    """GP541 for an option that says nothing beside the others of its step."""
    start, options = operator.start, request.options
    if start is None:
        if "residual" in options:
            why = "`residual` belongs to an operator that begins as a static method"
            fail("GP541", why, help="name one: `init fpi`; or take `residual` out", part="residual")
        return
    own = starts(start)
    for key in ("width-init", "order", "noise"):
        if key in options:
            why = f"`{key}` is of LiGO's own form, and this operator begins as `{start}`"
            fail("GP541", why, help=f"take `{key}` out, or leave `init` out", part=key)
    if "depth-init" not in options:
        return
    if own is not None and set(own.verbs) & set(ADDS_LAYERS):
        why = f"`{start}` adds layers itself, so that `depth-init` says nothing"
        fail("GP541", why, help="take `depth-init` out", part="depth-init")
    if operator.depth_init not in COPIED:
        why = f"`depth-init {operator.depth_init}` blends layers, and those of a static step are copies"
        fail("GP541", why, help=f"one of: {', '.join(COPIED)}", part="depth-init")


def begun_as(start: Sequence[TypedStep]) -> Iterator[str]:
    """What each static step of the start promises, which the fit moves."""
    for step in start:
        yield f"begins as `{step.text}` ({step.candidate}): {step.proof.claim}, which the fit moves"


def not_products(start: Sequence[TypedStep]) -> tuple[str, ...]:
    """What of these steps no product of an old tensor gives."""
    found: dict[str, None] = {}
    for step in start:
        norms = {name for name, module in step.before.modules.items() if module.is_norm}
        for rewrite in step.rewrites:
            if rewrite.module in norms:
                continue
            rows = rewrite.made_rows or rewrite.rows
            drawn = "free" in rows.kinds or rewrite.masked is not None
            drawn = drawn or (rewrite.cols is not None and "zero" in rewrite.cols.kinds)
            found |= dict.fromkeys(["fresh units"] if drawn else [])
            found |= dict.fromkeys(["noise on copies"] if rewrite.has_noise else [])
            found |= dict.fromkeys(["units of the layer above"] if rewrite.graft else [])
            found |= dict.fromkeys(["copies that read their own"] if rewrite.shares == "own" else [])
        new = any(layer.silent or layer.fresh for layer in step.layers)
        found |= dict.fromkeys(["inserted blocks"] if new else [])
    return tuple(found)


@dataclass(frozen=True)
class _Copied(Method):
    """Layers copied in an order that `depth-init` names."""

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        stacked = self.name.startswith("stack")
        return copies(i % old if stacked else i * old // new for i in range(new))


def typed_start(request: Request, operator: Operator, model: Model, key: str) -> tuple[TypedStep, ...]:
    """The steps by `operator.start`, widths first. Raises GP540, GP542 and GP543."""
    assert operator.start is not None
    method = starts(operator.start)
    if method is None:
        fail(
            "GP540",
            f"no operator begins as `{operator.start}`",
            help=_ways(request, operator, model, key),
            part="init",
        )
    try:
        start = tuple(_steps(request, method, operator, model, key))
    except DiagnosticError as error:
        found = error.diagnostics[0]
        fail(
            "GP542",
            f"the operator cannot begin as `{method.name}`: {found.message}",
            notes=found.notes,
            help=_ways(request, operator, model, key),
            part="init",
        )
    missing = () if operator.residual else not_products(start)
    if missing:
        what = " and ".join(missing)
        message = f"`{method.name}` begins with {what}, which no product gives"
        fail("GP543", message, help="take `residual none` out", part="residual")
    return start


def _steps(
    request: Request, method: Method, operator: Operator, model: Model, key: str
) -> Iterator[TypedStep]:
    """One step for all widths, one for layers; each is typed against the model before it."""
    none, done = Claim("none"), 0
    widths = _widths(request)
    if widths:
        wrong = [axis for axis in widths if axis not in method.axes]
        if wrong:
            grown = ", ".join(method.axes) or "layers alone"
            message = f"`{method.name}` does not grow `{wrong[0]}`: it grows {grown}"
            fail("GP114", message, help="begin as another method")
        verb = next(v for v in ("grow", "widen", "mask-in") if v in method.verbs)
        part = Request(None, f"{request.id}/width", verb, method.name, widths, request.span)
        proof = prove_width(part, method, model, none, f"{key}/width")
        if proof.proof.claim.where == "attached":
            message = f"`{method.name}` is exact behind attached masks alone, and a fit has none"
            fail("GP542", message, help="begin as another method")
        yield (step := assembled(part, method, model, proof, 1, none, f"{key}/width"))
        model, done = step.after, 1
    old, new = request.grow.get("depth", (model.depth, model.depth))
    if old == new:
        return
    adds = next((v for v in method.verbs if v in ADDS_LAYERS), None)
    word = operator.depth_init
    layers = method if adds else _Copied(word, verbs=("stack",))
    part = Request(
        None, f"{request.id}/depth", adds or "stack", layers.name, {"depth": (old, new)}, request.span
    )
    proof = depth_proof(part, layers, model, none)
    yield assembled(part, layers, model, proof, done + 1, none, f"{key}/depth")


def _widths(request: Request) -> dict[str, tuple[int, int]]:
    """The axes of width that move."""
    return {a: sizes for a, sizes in request.grow.items() if a != "depth" and sizes[0] != sizes[1]}


def _ways(request: Request, operator: Operator, model: Model, key: str) -> list[str]:
    """The methods that this step can begin as: each was typed before it is named."""
    able = []
    for name in start_names():
        method = starts(name)
        adds = method is not None and bool(set(method.verbs) & set(ADDS_LAYERS))
        if method is None or (adds and "depth-init" in request.options):
            continue
        if not adds and not _widths(request) and name != "fpi":  # it has no part in such a step
            continue
        try:
            start = tuple(_steps(request, method, operator, model, key))
        except DiagnosticError:
            continue
        if operator.residual or not not_products(start):
            able.append(name)
    named = [f"`init {name}`" for name in sorted(able, key=lambda name: (*FIRST, name).index(name))]
    return [", ".join(named)] if named else ["take `init` out: LiGO's own inits"]
