"""Settling a plan's steps one by one: what each asks for, and what equations imply at the end."""

from __future__ import annotations

from difflib import get_close_matches

from growplan.check.resolve import Relation, Request, axis_of, new_size, open_relations, solve, whole
from growplan.diagnostics import fail
from growplan.families.expr import size_names
from growplan.families.model import Model
from growplan.language.plan import Step
from growplan.methods import default_method, get_method, method_names
from growplan.methods.base import Method

LATER = {
    "upcycle": "MoE upcycling",
}


def settle(step: Step, model: Model, relations: tuple[Relation, ...]) -> tuple[Request, Method]:
    """Axes, sizes and method of a written step. Raises GP1xx."""
    if step.verb in LATER:
        fail(
            "GP110",
            f"{LATER[step.verb]} is not part of this version",
            step.span,
            help="`growplan methods` lists what is",
        )
    grow: dict[str, tuple[int, int]] = {}
    for growth in step.growths:
        axis = axis_of(growth, model.family, model.sizes)
        if axis in grow:
            fail("GP108", f"`{axis}` is named twice in one step", growth.place("axis"), help="keep one")
        grow[axis] = (model.sizes[axis], new_size(growth, axis, model, relations))
    via = step.via or default_method(step.verb) or ""
    method = _method(step, via)
    _check_verb(step, method, tuple(grow))
    _check_options(step, method)
    assert step.id is not None
    return Request(step, step.id, step.verb, via, with_kv_heads(grow, model), step.span), method


def with_kv_heads(grow: dict[str, tuple[int, int]], model: Model) -> dict[str, tuple[int, int]]:
    """kv_heads follow heads where the two are equal; else they stay."""
    kv = model.sizes.get("kv_heads")
    if "heads" in grow and "kv_heads" not in grow and kv is not None and kv == model.sizes["heads"]:
        return {**grow, "kv_heads": grow["heads"]}
    return grow


def _method(step: Step, via: str) -> Method:
    method = get_method(via)
    if method is None:
        close = get_close_matches(via, method_names(), 1)
        fail(
            "GP111",
            f"there is no growth method `{via}`",
            step.place("via"),
            help=[*(f"did you mean `{c}`?" for c in close), "`growplan methods` lists them"],
        )
    return method


def _check_verb(step: Step, method: Method, axes: tuple[str, ...]) -> None:
    depth_verb = step.verb in ("stack", "deepen")
    if depth_verb != (axes == ("depth",)):
        verb = "`stack depth` or `deepen depth`" if "depth" in axes else "`widen`"
        fail(
            "GP112",
            f"`{step.verb}` does not apply to {' and '.join(f'`{a}`' for a in axes)}",
            step.span,
            help=f"use {verb}",
        )
    if step.verb not in method.verbs:
        serves = ", ".join(f"`{v}`" for v in method.verbs)
        others = [n for n in method_names() if (m := get_method(n)) and step.verb in m.verbs]
        fail(
            "GP113",
            f"`{method.name}` has no meaning for `{step.verb}`: it serves {serves}",
            step.place("via"),
            help=f"methods for `{step.verb}`: {', '.join(others)}",
        )
    wrong = [] if depth_verb else [a for a in axes if a not in method.axes]
    if wrong:
        able = [n for n in method_names() if (m := get_method(n)) and set(axes) <= set(m.axes)]
        fail(
            "GP114",
            f"`{method.name}` does not grow `{wrong[0]}`: it grows {', '.join(method.axes)}",
            step.place("via"),
            help=f"methods for `{wrong[0]}`: {', '.join(able) or 'none in this version'}",
        )


def _check_options(step: Step, method: Method) -> None:
    known = {option.name: option for option in method.options}
    for key, value in step.options.items():
        option = known.get(key)
        if option is None:
            fail(
                "GP115",
                f"`{method.name}` has no option `{key}`",
                step.place(key),
                help=f"its options: {', '.join(known) or 'none'}",
            )
        if option.choices and value not in option.choices:
            fail(
                "GP116",
                f"`{key}` cannot be `{value}`",
                step.place(key),
                help=f"one of: {', '.join(option.choices)}",
            )
        if option.name == "init" and not _is_init(str(value)):
            fail(
                "GP116",
                f"`init` cannot be `{value}`",
                step.place(key),
                help="`like`, or `normal(STD)` with a number, e.g. `normal(0.02)`",
            )
    for key, verb in (("over", "mask-in"), ("on", "grow"), ("steps", "grow")):
        value = getattr(step, key)
        if value is not None and (step.verb != verb or key != "over"):
            fail(
                "GP117",
                f"`{key}` has no meaning for `{step.verb}` via `{method.name}`",
                step.place(key),
                help="take it out",
            )
    if step.over is not None and step.over < 1:
        fail(
            "GP117",
            "a ramp of fewer than 1 steps is none",
            step.place("over"),
            help="leave `over` out to store no ramp",
        )


def _is_init(text: str) -> bool:
    if text == "like":
        return True
    if not (text.startswith("normal(") and text.endswith(")")):
        return False
    try:
        return 0 <= float(text[7:-1]) < 1e6
    except ValueError:
        return False


def implied(
    model: Model, relations: tuple[Relation, ...], named: set[str], opener: Request
) -> Request | None:
    """The step that closes an equation left open at the end, or None when all hold.

    It grows the first axis of the family's `closes` that no step named, by the method of the
    step that opened the equation. Raises GP109 where every axis was named.
    """
    still_open = open_relations(relations, model.sizes)
    if not still_open:
        return None
    left, right = relation = still_open[0]
    for axis, _ in model.family.closes:
        value = solve(relation, axis, model.sizes)
        if axis in named or value is None:
            continue
        new = whole(value, axis, relation, model.sizes, opener.span)
        old = model.sizes[axis]
        if new < old:
            continue
        grow = with_kv_heads({axis: (old, new)}, model)
        reason = f"{left} = {right}"
        return Request(None, f"{opener.id}/{axis}", "widen", opener.via, grow, opener.span, reason)
    fail(
        "GP109",
        f"the plan ends with {left} ≠ {right} ({_values(relation, model)})",
        opener.span,
        help="change one of the sizes, or leave one of these axes out so that it is implied",
    )


def _values(relation: Relation, model: Model) -> str:
    words = sorted(set().union(*map(size_names, relation)))
    return ", ".join(f"{w} {model.sizes[w]}" for w in words)
