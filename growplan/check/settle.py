"""Settling a plan's steps one by one: what each asks for, and what equations imply at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from growplan.check import images
from growplan.check.options import check_options, check_rows
from growplan.check.resolve import (
    Relation,
    Request,
    axis_aliases,
    axis_of,
    holds,
    new_size,
    open_relations,
    solve,
    whole,
)
from growplan.check.trial import widens
from growplan.diagnostics import Diagnostic, DiagnosticError, fail
from growplan.families.expr import size_names
from growplan.families.model import Model
from growplan.language.plan import Growth, Step
from growplan.methods import default_method, get_method, method_names
from growplan.methods.base import Ask, Method


def settle(
    step: Step, model: Model, relations: tuple[Relation, ...], doubted: frozenset[str] = frozenset()
) -> tuple[Request, Method] | None:
    """Axes, sizes and method of a written step. Raises GP1xx.

    Of `doubted` axes an earlier mistake hides the size: theirs is not judged, and the step is
    None if it grows one, or names none that could be read.
    """
    found: list[Diagnostic] = []
    upcycles = step.verb == "upcycle"
    grow = _experts(step) if upcycles and step.growths else _sizes(step, model, relations, doubted, found)
    via = step.via or default_method(step.verb) or ""
    method = get_method(via)
    if method is None:
        found.append(_no_method(step, via))
    else:
        axes = tuple(grow) if len(grow) == len(step.growths) else ()
        found += [*_check_verb(step, method, grow, axes, model), *check_options(step, method)]
        found += check_rows(step, model, grow)
        found += images.mistakes(step, method, grow, model) if not found else ()
    if found:
        raise DiagnosticError(*found)
    if doubted & axes_named(step, model) or not step.growths:  # no axis of it could be read
        return None
    assert step.id is not None and method is not None
    grow = images.with_grid(with_followers(grow, model), model)
    if method.learned:
        grow = coupled(grow, model, relations, method)
    return Request(step, step.id, step.verb, via, grow, step.span), method


def words(step: Step) -> Iterator[Diagnostic]:
    """What is wrong with a step whatever the model: its method, and the method's options."""
    via = step.via or default_method(step.verb) or ""
    method = get_method(via)
    if method is not None:
        yield from check_options(step, method)
    else:
        yield _no_method(step, via)


def axes_named(step: Step, model: Model) -> set[str]:
    """The axes a step names."""
    if step.verb == "upcycle":
        return set(model.sizes)
    aliases = axis_aliases(model.family)
    return {aliases.get(growth.axis, growth.axis) for growth in step.growths}


def _experts(step: Step) -> dict[str, tuple[int, int]]:
    """A dense ffn is one expert, which becomes as many as the step says."""
    (growth,) = step.growths
    assert growth.to is not None
    return {"experts": (1, growth.to)}


def _sizes(
    step: Step,
    model: Model,
    relations: tuple[Relation, ...],
    doubted: frozenset[str],
    found: list[Diagnostic],
) -> dict[str, tuple[int, int]]:
    """Axis -> (old, new) of every growth that makes sense; the others are reported."""
    grow: dict[str, tuple[int, int]] = {}
    for growth in step.growths:
        try:
            if growth.axis in doubted - model.sizes.keys():
                grow[growth.axis] = (1, 1)
                continue
            axis = axis_of(growth, model.family, model.sizes)
            if axis in grow:
                fail("GP108", f"`{axis}` is named twice in one step", growth.place("axis"), help="keep one")
            doubt = axis in doubted
            sized = growth if doubt else _by_options(growth, axis, step, model)
            ways = _sizing_options(step) if axis == "depth" else ()
            new = model.sizes[axis] if doubt else new_size(sized, axis, model, relations, ways)
            grow[axis] = (model.sizes[axis], new)
        except DiagnosticError as error:
            found += [d.at(step.where(d.part)) for d in error.diagnostics]
    return grow


def _by_options(growth: Growth, axis: str, step: Step, model: Model) -> Growth:
    """A depth that the plan leaves out and the method's options give: `stack depth via solar, m 8`."""
    method = get_method(step.via or default_method(step.verb) or "")
    if axis != "depth" or method is None or growth.to is not None or growth.by is not None:
        return growth
    if any(check_options(step, method)):
        return growth.model_copy(update={"to": model.sizes[axis]})  # reported once, as an option
    size = method.depth(model.sizes[axis], step.options)
    if size is None:
        return growth
    return growth.model_copy(update={"to": size})


def _sizing_options(step: Step) -> tuple[str, ...]:
    """What stands for a size in the method's options: `m N`."""
    method = get_method(step.via or default_method(step.verb) or "")
    names = [o.name for o in method.options if o.default == "size"] if method is not None else []
    return tuple(f"or give `{name} N` of `{step.via}`" for name in names)


def with_followers(grow: dict[str, tuple[int, int]], model: Model) -> dict[str, tuple[int, int]]:
    """With the axes that follow: kv_heads follow heads where the two are equal, else they stay.

    With m times the experts a token passes m times as many.
    """
    kv, active = model.sizes.get("kv_heads"), model.sizes.get("active")
    if "heads" in grow and "kv_heads" not in grow and kv is not None and kv == model.sizes["heads"]:
        grow = {**grow, "kv_heads": grow["heads"]}
    if "experts" in grow and active is not None:
        old, new = grow["experts"]
        grow = {**grow, "active": (active, active * (new // old))}
    return grow


def coupled(
    grow: dict[str, tuple[int, int]], model: Model, relations: tuple[Relation, ...], method: Method
) -> dict[str, tuple[int, int]]:
    """With the axes that equations couple: a learned step closes what it opens, since it is fitted once."""
    for relation in relations:
        sizes = {**model.sizes, **{axis: new for axis, (_, new) in grow.items()}}
        if holds(relation, sizes) or not holds(relation, model.sizes):
            continue
        for axis in _closing_axes(model, relation):
            value = solve(relation, axis, sizes)
            fits = value is not None and value.denominator == 1 and value > model.sizes[axis]
            if fits and axis not in grow and axis in method.axes:
                assert value is not None
                grow = with_followers({**grow, axis: (model.sizes[axis], int(value))}, model)
                break
    return grow


def _no_method(step: Step, via: str) -> Diagnostic:
    close = get_close_matches(via, method_names(), 1)
    ways = (*(f"did you mean `{c}`?" for c in close), "`growplan methods` lists them")
    return Diagnostic("GP111", f"there is no growth method `{via}`", step.place("via"), help=ways)


def _check_verb(
    step: Step, method: Method, grow: Mapping[str, tuple[int, int]], axes: tuple[str, ...], model: Model
) -> Iterator[Diagnostic]:
    """At most one of: a verb that does not go with its axis, or a method with either."""
    depth_verb = step.verb in ("stack", "deepen")
    either = step.verb in ("grow", "mask-in") and step.verb in method.verbs  # widths or layers
    if axes and not either and depth_verb != (axes == ("depth",)):
        own = " as a step of its own" if len(axes) > 1 else ""
        verb = f"`stack depth` or `deepen depth`{own}" if "depth" in axes else "`widen`"
        named = " and ".join(f"`{a}`" for a in axes)
        yield Diagnostic(
            "GP112", f"`{step.verb}` does not apply to {named}", step.span, help=(f"use {verb}",)
        )
        return
    if step.verb not in method.verbs:
        serves = ", ".join(f"`{v}`" for v in method.verbs)
        others = f"methods for `{step.verb}`: {', '.join(_serving(step.verb, ()))}"
        message = f"`{method.name}` has no meaning for `{step.verb}`: it serves {serves}"
        able = [other for other in method.verbs if depth_verb and other in ("stack", "deepen")]
        ways = tuple(f"write `{other} {_written(grow)} via {method.name}`" for other in able)
        yield Diagnostic("GP113", message, step.place("via"), help=(*ways, others))
        return
    moving = tuple(a for a in axes if step.verb != "widen" or grow[a][0] != grow[a][1])
    wrong = [] if depth_verb else [a for a in moving if a not in method.axes]
    if wrong:
        message = f"`{method.name}` does not grow `{wrong[0]}`: it grows {', '.join(method.axes)}"
        yield Diagnostic(
            "GP114", message, step.place("via"), help=_other_ways(step.verb, moving, wrong[0], grow, model)
        )


def _written(grow: Mapping[str, tuple[int, int]]) -> str:
    """`depth 6→8`; without sizes where the step gives none."""
    return ", ".join(f"{axis} {old}→{new}" for axis, (old, new) in grow.items()) or "depth"


def _serving(verb: str, axes: tuple[str, ...]) -> list[str]:
    """Methods that serve a verb on all of the axes, those that promise nothing last."""
    found = (m for name in method_names() if (m := get_method(name)) is not None)
    able = [m for m in found if verb in m.verbs and set(axes) <= set(m.axes)]
    return [m.name for m in sorted(able, key=lambda m: m.claim(Ask(axes)).strength == "none")]


def _other_ways(
    verb: str, axes: tuple[str, ...], wrong: str, grow: Mapping[str, tuple[int, int]], model: Model
) -> tuple[str, ...]:
    """Methods of the same verb, or another verb that serves the axis."""
    if wrong == "depth":
        return ("add layers by `stack depth` or `deepen depth`, as a step of its own",)
    if same := _serving(verb, axes):
        return (f"methods for `{verb} {wrong}`: {', '.join(same)}",)
    for other in ("widen", "mask-in"):
        if other != verb and (able := _serving(other, (wrong,))):
            exact = other == "widen" and widens("fpi", {wrong: grow[wrong]}, model)
            return (f"`{other} {wrong} … via {'fpi' if exact else able[0]}`",)
    return (f"no method of this version grows `{wrong}`",)


def implied(
    model: Model, relations: tuple[Relation, ...], named: set[str], opener: Request
) -> Request | None:
    """The step that closes an equation left open at the end, or None when all hold.

    It grows an axis that no step named (the family's `closes` first), by the method of the step
    that opened the equation. Raises GP109 where no axis is left, or the method cannot grow it.
    """
    still_open = open_relations(relations, model.sizes)
    if not still_open:
        return None
    left, right = relation = still_open[0]
    method = get_method(opener.via)
    assert method is not None
    broken: DiagnosticError | None = None
    for axis in _closing_axes(model, relation):
        if axis in named or axis not in method.axes or method.learned:
            continue
        if method.claim(Ask((axis,))).where == "attached":  # no plan needs the runtime without a word of it
            continue
        value = solve(relation, axis, model.sizes)
        assert value is not None
        try:
            new = whole(value, axis, relation, model.sizes, opener.span)
        except DiagnosticError as error:
            broken = broken or error
            continue
        if new > model.sizes[axis]:
            grow = with_followers({axis: (model.sizes[axis], new)}, model)
            reason = f"{left} = {right}"
            id = f"{opener.id}/{axis}"
            verb = "mask-in" if opener.verb == "mask-in" else "widen"
            return Request(None, id, verb, opener.via, grow, opener.span, reason, opener.options, opener.over)
    if broken is not None:
        raise broken
    fail(
        "GP109",
        f"the plan ends with {left} ≠ {right} ({_values(relation, model)})",
        opener.span,
        help=f"give these axes sizes with {left} = {right}",
    )


def _closing_axes(model: Model, relation: Relation) -> list[str]:
    """Axes that may close a relation: the family's own order, then the rest. head_dim stays."""
    first = [axis for axis, _ in model.family.closes]
    rest = sorted(set().union(*map(size_names, relation)) - {*first, "head_dim"})
    return [axis for axis in (*first, *rest) if solve(relation, axis, model.sizes) is not None]


def _values(relation: Relation, model: Model) -> str:
    words = sorted(set().union(*map(size_names, relation)))
    return ", ".join(f"{w} {model.sizes[w]}" for w in words)
