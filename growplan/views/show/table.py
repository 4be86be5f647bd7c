"""Steps with their ids, every axis and every parameter before and after, layers folded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from growplan.check.typed import TypedPlan
from growplan.families.model import Model, Param
from growplan.views.layout import columns
from growplan.views.names import axes_in_order, step_title
from growplan.views.show.stages import stages
from growplan.views.style import PLAIN, Style


@dataclass(frozen=True)
class ParameterRow:
    """One parameter: its name on disk, shapes, and the steps that rewrite it."""

    name: str
    before: tuple[int, ...] | None
    after: tuple[int, ...]
    steps: tuple[int, ...]


def render(typed: TypedPlan, style: Style = PLAIN) -> str:
    """Steps, axes through the steps, then parameters."""
    chain = stages(typed)
    axes = axes_in_order(typed.target.sizes)
    heads = ["axis", "source", *(str(stage.step.index) for stage in chain if stage.step)]
    rows = [heads]
    for axis in axes:
        rows.append([axis, *(_size(stage.sizes.get(axis), axis in stage.changed) for stage in chain)])
    sizes = columns(rows, "<" + ">" * len(chain))
    titles = [("parameter", "before", "after", "steps")]
    body = [(row.name, _shape(row.before), _shape(row.after), _steps(row)) for row in parameters(typed)]
    table = columns([*titles, *body], "<<<<")
    steps = columns([("step", "id", ""), *((str(s.index), s.id, step_title(s)) for s in typed.steps)], "<<<")
    fitted = columns([("leaf", "shape", "begins as", "parameters"), *leaf_rows(typed)], "<<<>")
    blocks = [block for block in (steps, sizes, table, fitted) if len(block) > 1]
    return "\n\n".join("\n".join([style.dim(head), *rest]) for head, *rest in blocks)


def _size(size: int | None, changed: bool) -> str:
    return "" if size is None else f"{'*' if changed else ''}{size}"


def _shape(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else " × ".join(map(str, shape))


def _steps(row: ParameterRow) -> str:
    return ", ".join(map(str, row.steps)) or "carried"


def parameters(typed: TypedPlan) -> Iterator[ParameterRow]:
    """Every parameter of the target."""
    old = {(p.module, p.leaf): p for p in typed.source.params()}
    for param in typed.target.params():
        source = old.get((param.module, param.leaf))
        yield ParameterRow(
            _name(typed.target, param),
            None if source is None else typed.source.shape(source),
            typed.target.shape(param),
            tuple(_rewriting(typed, param)),
        )


def _name(model: Model, param: Param) -> str:
    """The name on disk with the layers and experts it stands for."""
    name = model.tensor_name(param)
    name = name.replace("{e}", f"{{0:{model.sizes.get('experts')}}}")
    return name.replace("{i}", f"{{0:{model.depth}}}")


def _rewriting(typed: TypedPlan, param: Param) -> Iterator[int]:
    for step in typed.steps:
        rewritten = any((r.module, r.leaf) == (param.module, param.leaf) for r in step.rewrites)
        copied = (step.layers and param.in_layer) or ("experts" in step.maps and param.in_expert)
        made = param.module in step.after.modules and param.module not in step.before.modules
        learned = step.operator is not None and param.in_layer and step.after.depth != step.before.depth
        learned = learned or (step.operator is not None and _changes(step.before, step.after, param))
        if copied or made or learned or (rewritten and _changes(step.before, step.after, param)):
            yield step.index


def leaf_rows(typed: TypedPlan) -> Iterator[tuple[str, str, str, str]]:
    """The leaves of learned steps: name, shape, init, numbers; one row where each layer has its own."""
    found: dict[tuple[str, str, tuple[int, ...]], list[int]] = {}
    for step in typed.steps:
        for leaf in step.leaves:
            name, dot, number = leaf.name.rpartition(".")
            own = bool(dot) and number.isdigit()
            layers = found.setdefault((name if own else leaf.name, leaf.init, leaf.shape), [])
            layers += [int(number)] if own else []
    for (name, init, shape), layers in found.items():
        shown = f"{name}.{{0:{len(layers)}}}" if layers else name
        yield shown, _shape(shape), init, f"{prod(shape) * max(1, len(layers)):,}"


def _changes(before: Model, after: Model, param: Param) -> bool:
    return before.shape(param) != after.shape(param)
