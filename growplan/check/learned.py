"""Learned steps: what is fitted, how large it is, what the fit costs. Nothing is preserved, by design."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from growplan.check.claims import StepProof
from growplan.check.cost import cost
from growplan.check.layouts import Layout, layout
from growplan.check.refused import weaker
from growplan.check.resolve import Request
from growplan.check.start import begun_as, check_together, typed_start
from growplan.check.typed import OperatorCost, Proof, TypedStep
from growplan.diagnostics import fail
from growplan.families import explicit_config
from growplan.families.layer_lists import grown_lists
from growplan.families.model import Model
from growplan.families.positions import longest_input
from growplan.families.window import deeper
from growplan.methods.base import Claim, Method, Operator, Recipe

FLOAT = 4  # bytes: a fit computes in float32
TRAINED = 4  # floats of a leaf's number: itself, its gradient, two moments


def learned_proof(request: Request, method: Method, model: Model, promised: Claim, key: str) -> StepProof:
    """A step that is fitted on data. Raises GP204 where the claim asks for more than nothing."""
    assert request.step is not None, "a learned step is written, never implied"
    asked = method.operator(request.options, request.step.steps)
    check_together(request, asked)
    start = typed_start(request, asked, model, key) if asked.start else ()
    config = _config(request, model, asked, start)
    grown = _grown(request, model, config)
    operator = settled(asked, model, grown)
    found = layout(model, grown, operator)
    first, *others = found.reasons
    reasons = (first, *begun_as(start), *others)
    if promised.strength != "none":
        fail(
            "GP204",
            f"`{method.name}` cannot keep a model {promised.strength}",
            request.span,
            notes=[("claim", str(promised)), ("proof", "none")] + [("why", reason) for reason in reasons],
            help=[weaker(Claim("none")), "`via fpi`, axis by axis, keeps the function"],
        )
    return StepProof(
        candidate=found.label,
        proof=Proof(Claim("none"), reasons),
        maps={},
        stream=None,
        config=tuple(config.items()),
        operator=operator,
        leaves=found.leaves(request.id, key),
        fit_cost=operator_cost(found),
        start=start,
    )


def _grown(request: Request, model: Model, config: dict[str, object]) -> Model:
    sizes = {**model.sizes, **{axis: new for axis, (_, new) in request.grow.items()}}
    return model.resized(sizes, explicit_config(model, sizes, config))


def _config(
    request: Request, model: Model, operator: Operator, start: tuple[TypedStep, ...]
) -> dict[str, object]:
    """Lists with an entry for each layer: new layer i takes that of the old layer it begins as.

    Of a general operator, all that the static steps set: epsilons and thetas are not learned.
    """
    if start:
        return {key: value for step in start for key, value in step.config}
    old, new = request.grow.get("depth", (model.depth, model.depth))
    if old == new:
        return {}
    stacked = operator.depth_init.startswith("stack")
    sources = [i % old if stacked else i * old // new for i in range(new)]
    return {**grown_lists(model, sources), **deeper(model.family.window, model.config, sources)}


def settled(operator: Operator, before: Model, after: Model) -> Operator:
    """An operator without `auto`: heads are kept whole where positions are rotary or heads are normed.

    Ties are each layer's own unless those operators would hold more than half as many numbers as the
    target: small models do better with shared ones.
    """
    whole = layout(before, after, replace(operator, mix="units")).whole_heads
    mix = operator.mix if operator.mix != "auto" else "heads" if whole else "units"
    out = replace(operator, mix=mix)
    if out.tying != "auto":
        return out
    inner = layout(before, after, replace(out, tying="layer")).inner_parameters
    return replace(out, tying="shared" if 2 * inner > cost(after).parameters else "layer")


def operator_cost(of: Layout) -> OperatorCost:
    """What an operator and its fit cost.

    A step trains the target, forward and twice that backward, and makes its weights, likewise:

        FLOPs = steps * 3 * (FLOPs per token of the target * batch * tokens + materialise)

    In memory, as float32, lie the source, the target's weights and gradients, and four numbers for
    each of the operator's (itself, its gradient, two moments); activations come on top.
    An image has as many tokens as the model has positions. With `checkpoint blocks` a step goes forward
    once more, each part of a batch makes the weights anew, and of the layers one is in memory. (What
    layers have in common is counted once; block by block it is made for each.)
    """
    recipe, target = as_read(of.operator.recipe, of.after), cost(of.after)
    tokens = of.after.sizes["positions"] if of.after.inputs == "image" else recipe.tokens
    by_block = recipe.checkpoint == "blocks"
    passes, times = (4, recipe.accumulate) if by_block else (3, 1)
    made = times * of.materialise
    step = passes * (target.flops_per_token * recipe.batch * tokens + made)
    held = one_layer(of.after) if by_block else target.parameters
    numbers = sum(of.parts.values())
    floats = cost(of.before).parameters + 2 * held + TRAINED * numbers
    return OperatorCost(
        parts=tuple(of.parts.items()),
        share=numbers / target.parameters,
        flops=recipe.steps * step,
        materialise=passes * made / step,
        memory=FLOAT * floats,
    )


def as_read(recipe: Recipe, model: Model) -> Recipe:
    """The recipe with sequences no longer than the model reads."""
    longest = longest_input(model)
    if model.inputs == "image" or longest is None or longest >= recipe.tokens:
        return recipe
    return replace(recipe, tokens=longest)


def one_layer(model: Model) -> int:
    """Parameters of a model with a single layer."""
    return sum(
        prod(model.shape(param)) * model.copies(param) // (model.depth if param.in_layer else 1)
        for param in model.params()
    )
