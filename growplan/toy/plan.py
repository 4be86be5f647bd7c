"""The plan and the config of a toy: the same words with small sizes in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from growplan.check.resolve import axis_aliases
from growplan.check.typed import TypedPlan, TypedStep
from growplan.families.model import Model
from growplan.language.plan import Growth, Plan, Scalar, Step
from growplan.methods import get_method
from growplan.methods.operator import Operator
from growplan.toy.data import FITTING, LONGEST, data_name, masks
from growplan.toy.sizes import Sizes, counting

SOURCE = "source"  # the directory of a toy's source
DTYPE = "float64"  # so that what is measured is the construction, not rounding


def toy_plan(typed: TypedPlan, sizes: Sequence[Sizes]) -> Plan:
    """The plan with the sizes of each state (the source's first) in place of its own.

    Spans stay, so that a finding points at the plan's own line.
    """
    plan = typed.plan
    steps = {step.id: step for step in typed.steps}
    small = tuple(_step(step, steps[step.id or ""], sizes) for step in plan.steps)
    out = plan.model_copy(update={"steps": small, "source": f"./{SOURCE}", "target": None})
    places = {name: plan.place(name) for name in ("family", "source")}
    out.located(plan.span, {name: place for name, place in places.items() if place is not None})
    return out.read_from(plan.path)


def _step(step: Step, typed: TypedStep, sizes: Sequence[Sizes]) -> Step:
    before, after = sizes[typed.index - 1], sizes[typed.index]
    aliases = axis_aliases(typed.before.family)
    growths = tuple(_growth(g, aliases.get(g.axis, g.axis), before, after) for g in step.growths)
    counted = counting(typed.method)
    options = {
        key: _fewer(value, typed.before.sizes, before, counted[key]) if key in counted else value
        for key, value in step.options.items()
    }
    on = step.on and data_name(typed)
    if "data" in options:
        options["data"] = data_name(typed)
    if typed.operator is not None:
        options |= {"batch": 2, "tokens": LONGEST, "accumulate": 1, **_settled(typed.operator)}
    if typed.predictor is not None:
        options |= {"epochs": 1, "updates": 1}
    if masks(typed):
        options["mask"] = 0  # the mask token's place in a small vocabulary
    named = step.growths if step.verb == "upcycle" else growths  # `to 8 experts` is no size of ffn
    fitting = None if step.steps is None else min(step.steps, FITTING)
    out = step.model_copy(update={"growths": named, "options": options, "on": on, "steps": fitting})
    parts = ("via", "on", "steps", "over", "id", "expect", *options)
    places = {part: step.place(part) for part in parts}
    out.located(step.span, {part: place for part, place in places.items() if place is not None})
    return out


def _settled(operator: Operator) -> dict[str, Scalar]:
    """What the sizes of the plan itself settle, where its method leaves it open."""
    method = get_method(operator.method)
    named = {} if method is None else {option.name: option.default for option in method.options}
    found = {"tying": operator.tying, "mix": operator.mix}
    return {key: value for key, value in found.items() if named.get(key) == "auto"}


def _growth(growth: Growth, axis: str, before: Sizes, after: Sizes) -> Growth:
    source = None if growth.source is None else before[axis]
    to = None if growth.to is None else after[axis]
    out = growth.model_copy(update={"source": source, "to": to})
    places = {part: growth.place(part) for part in ("axis", "source", "to", "by")}
    out.located(growth.span, {part: place for part, place in places.items() if place is not None})
    return out


def _fewer(value: object, full: Sizes, small: Sizes, axis: str) -> object:
    return value * small[axis] // full[axis] if type(value) is int and axis in full else value


def toy_config(model: Model, sizes: Sizes) -> dict[str, Any]:
    """The source's config with small sizes; what it leaves to a formula stays so.

    Token ids stay inside the vocabulary, windows inside the positions, lists with an entry for
    each layer as long as there are layers.
    """
    out = dict(model.config)
    for rule in model.family.sizes:
        for key in (rule.key, *rule.also):
            if key and not rule.length and out.get(key) is not None:
                out[key] = sizes[rule.axis]
    for key, axis in model.family.aliases.items():
        if out.get(key) is not None:
            out[key] = sizes[axis]
    for key, value in out.items():
        out[key] = _fitted(key, value, model.sizes, sizes)
    out.pop("torch_dtype", None)
    out["dtype"] = DTYPE
    return out


def _fitted(key: str, value: Any, full: Sizes, small: Sizes) -> Any:
    if key.endswith("_token_id") and "vocab" in small:
        return _inside(value, small["vocab"])
    if key == "sliding_window" and type(value) is int:
        return max(2, value * small["positions"] // full["positions"])
    if key == "max_window_layers" and type(value) is int:
        return value * small["depth"] // full["depth"]
    if isinstance(value, list) and len(value) == full["depth"] != small["depth"]:
        return value[: small["depth"]]
    return value


def _inside(value: Any, vocab: int) -> Any:
    if isinstance(value, list):
        return [_inside(each, vocab) for each in value]
    return value if type(value) is not int or 0 <= value < vocab else 0
