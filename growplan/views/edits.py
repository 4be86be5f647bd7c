"""Words for edits: the closed set of actions is its glyph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from growplan.compare.values import (
    Added,
    Change,
    Changed,
    Edit,
    F,
    Kept,
    Moved,
    PlanDiff,
    Removed,
    StageEdit,
    StageFacts,
    StepEdit,
    StepFacts,
    TensorChange,
    Totals,
)
from growplan.views import numbers
from growplan.views.names import axes_in_order
from growplan.views.style import printable

GLYPHS = {Added: "+", Removed: "-", Changed: "~", Moved: ">", Kept: " "}
COLORS = {"+": "green", "-": "red", "~": "yellow", ">": "cyan"}
TENSOR_GLYPHS = {"added": "+", "removed": "-", "changed": "~", "redrawn": "~"}


def glyph(edit: StepEdit | StageEdit) -> str:
    """`+ - ~ >`, or a blank for what is kept."""
    return GLYPHS[type(edit)]


def action(edit: StepEdit | StageEdit) -> str:
    """`added`, `removed`, `changed`, `moved` or `kept`."""
    return type(edit).__name__.lower()


def fact_of(edit: Edit[F]) -> F:
    """The step or the stage that an edit is about; the new one where there are two."""
    return edit.old if isinstance(edit, Removed) else edit.new


def changes_of(edit: StepEdit | StageEdit) -> tuple[Change, ...]:
    """The fields that differ."""
    return edit.changes if isinstance(edit, (Changed, Moved)) else ()


def place(edit: StepEdit | StageEdit) -> str:
    """`2`, or `3→1` for a step that moved."""
    if isinstance(edit, Moved):
        return f"{edit.old.index}→{edit.new.index}"
    return str((edit.old if isinstance(edit, Removed) else edit.new).index)


def title(step: StepFacts) -> str:
    """The step's line; what no line of the plan names is marked."""
    implied = f"  (implied: {step.implied})" if step.implied else ""
    return printable(step.text + implied)


def arrow(change: Change) -> str:
    """`fpi → net2net`, `(none) → even`."""
    return f"{_word(change.old)} → {_word(change.new)}"


def _word(value: str | None) -> str:
    return "(none)" if value is None else printable(value)


def counted(diff: PlanDiff) -> str:
    """`1 added, 2 changed`."""
    names = [action(e) for e in diff.edits if not isinstance(e, Kept)]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


def result_rows(old: Totals, new: Totals) -> Iterator[tuple[str, str, str, str]]:
    """(what, old, new, change) for everything about the target that differs, then cost and claim."""
    before, after = dict(old.sizes), dict(new.sizes)
    for axis in axes_in_order({**before, **after}):
        a, b = before.get(axis), after.get(axis)
        if a != b:
            yield axis, _word(None if a is None else str(a)), _word(None if b is None else str(b)), ""
    if old.model != new.model:
        yield "model", old.model, new.model, ""
    if old.claim != new.claim:
        yield "claim", old.claim, new.claim, ""
    costs = [
        ("parameters", numbers.count, old.cost.parameters, new.cost.parameters),
        ("FLOPs per token", numbers.flops, old.cost.flops_per_token, new.cost.flops_per_token),
        ("checkpoint", numbers.size, old.cost.bytes, new.cost.bytes),
    ]
    for name, show, a, b in costs:
        if a != b:
            yield name, show(a), show(b), numbers.ratio(a, b)
    yield from _training_rows(old, new)


def _training_rows(old: Totals, new: Totals) -> Iterator[tuple[str, str, str, str]]:
    """What all stages read, and what their training costs."""
    rows = [
        ("tokens of training", numbers.count, old.tokens, new.tokens),
        ("FLOPs of training", numbers.flops, old.flops, new.flops),
    ]
    for name, show, a, b in rows:
        if a != b:
            before, after = ("(none)" if value is None else show(value) for value in (a, b))
            yield name, before, after, numbers.ratio(a, b) if a and b else ""


def price(stage: StageFacts) -> str:
    """`230k → 454k parameters, 227k trained, 6.4k tokens, 5.41G FLOPs`; empty without a source."""
    if stage.parameters is None or stage.parameters_before is None:
        return ""
    grown = (
        "" if stage.parameters == stage.parameters_before else f"{numbers.count(stage.parameters_before)} → "
    )
    words = [f"{grown}{numbers.count(stage.parameters)} parameters"]
    if stage.tokens:
        words += [f"{numbers.count(stage.trained or 0)} trained", f"{numbers.count(stage.tokens)} tokens"]
    words += [f"{numbers.flops(stage.flops)} FLOPs"] if stage.flops else []
    return ", ".join(words)


def stage_rows(edit: StageEdit) -> Iterator[tuple[str, str]]:
    """What differs of a stage; where that is more than its name, what it comes to. All of it at its price."""
    changes = changes_of(edit)
    yield from ((change.field, arrow(change)) for change in changes)
    if isinstance(edit, (Added, Removed)) and (words := price(fact_of(edit))):
        yield "costs", words
    if isinstance(edit, (Changed, Moved)) and any(change.field != "name" for change in changes):
        shown = [("trained", numbers.count), ("flops", numbers.flops)]
        for name, show in shown:
            a, b = getattr(edit.old, name), getattr(edit.new, name)
            if a and b and show(a) != show(b):
                yield name.replace("flops", "FLOPs"), f"{show(a)} → {show(b)}"


def in_stages(diff: PlanDiff) -> Iterator[tuple[StageEdit | None, list[StepEdit]]]:
    """Every stage with the edits of its steps, those of no stage first; of plans without stages one group."""
    new = {e.new.name: i for i, e in enumerate(diff.stages) if not isinstance(e, Removed)}
    old = {e.old.name: i for i, e in enumerate(diff.stages) if not isinstance(e, Added)}
    groups: dict[int | None, list[StepEdit]] = {}
    for edit in diff.edits:
        name = fact_of(edit).stage
        at = None if name is None else (old if isinstance(edit, Removed) else new)[name]
        groups.setdefault(at, []).append(edit)
    if None in groups or not diff.stages:
        yield None, groups.get(None, [])
    for index, stage in enumerate(diff.stages):
        yield stage, groups.get(index, [])


def by_name(changes: Sequence[TensorChange]) -> list[TensorChange]:
    """Changes of one name, shape and status as one: what is shown where rewrites are not."""
    from growplan.compare.tensors import fold_experts

    merged: dict[TensorChange, list[int]] = {}
    for change in changes:
        for expert in change.experts or (None,):
            name = change.name if expert is None else change.name.replace("{e}", str(expert))
            plain = replace(change, name=name, layers=(), experts=(), old=(), new=())
            merged.setdefault(plain, []).extend(change.layers)
    return fold_experts(replace(change, layers=tuple(sorted(layers))) for change, layers in merged.items())


def tensor_name(change: TensorChange) -> str:
    """The name with the layers and experts it stands for: `encoder.layer.{0:6}.output.dense.weight`."""
    from growplan.compare.tensors import ranges

    name = change.name.replace("{i}", "{" + ranges(list(change.layers)) + "}")
    name = name.replace("{e}", "{" + ranges(list(change.experts)) + "}")
    return name if change.stage is None else f"{change.stage}: {name}"


def shapes(change: TensorChange) -> str:
    """`f32[384] → f32[768]`, or the one shape that stays."""
    if change.shape_old == change.shape_new or not change.shape_old:
        return change.shape_new
    return f"{change.shape_old} → {change.shape_new}" if change.shape_new else change.shape_old
