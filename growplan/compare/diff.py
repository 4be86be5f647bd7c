"""The semantic diff: steps matched by id and stages by name, then compared field by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from growplan.compare.align import aligned, by_key, differing, paired
from growplan.compare.facts import facts, stage_facts, totals
from growplan.compare.header import header
from growplan.compare.sides import CompiledSide, Side, compiled
from growplan.compare.values import (
    Added,
    Change,
    PlanDiff,
    Removed,
    StageEdit,
    StageFacts,
    StepEdit,
    StepFacts,
    TensorChange,
)


def compare(
    old: Side,
    new: Side,
    *,
    model_dir: str | None = None,
    family: str | None = None,
    tensors: bool = True,
) -> PlanDiff:
    """What changed from `old` to `new`.

    Needs the sources' config.json for sizes, claims, costs and tensors; without one the plans
    are compared as written and `notes` say so. `tensors=False` skips the comparison of the
    lowered programs; a plan that is not there on one side has none.
    """
    from growplan.language import plan_hash

    given = [side.plan for side in (old, new) if side.plan is not None]
    same = len(given) == 2 and plan_hash(given[0]) == plan_hash(given[1])
    lower = tensors and not same and len(given) == 2
    left, right = (compiled(side, model_dir=model_dir, family=family, lower=lower) for side in (old, new))
    missing = [side for side in (left, right) if side.problems]
    before, after = (facts(side, symbolic=bool(missing)) for side in (left, right))
    stages = stage_edits(*(stage_facts(side, symbolic=bool(missing)) for side in (left, right)))
    return PlanDiff(
        old.name,
        new.name,
        same,
        differing(by_key(header(left.plan), header(right.plan))),
        edits(before, after, stages),
        totals(left),
        totals(right),
        _tensors(left, right, names(stages)) if lower else (() if same else None),
        tuple(_note(side) for side in missing),
        stages,
    )


def _tensors(
    left: CompiledSide, right: CompiledSide, renamed: Mapping[str, str]
) -> tuple[TensorChange, ...] | None:
    """Of each growth: of plans with steps one, else one for each stage, those that one side lacks too."""
    if left.problems or right.problems:
        return None
    from growplan.compare.tensors import tensor_changes

    names = {name: renamed.get(name, name) for name in left.graphs}
    if len(left.graphs) == len(right.graphs) == 1:  # steps that went into a stage, or out of it
        names = dict(zip(left.graphs, right.graphs, strict=True))
    before = {names[name]: graph for name, graph in left.graphs.items()}
    order = [*right.graphs, *(name for name in before if name not in right.graphs)]
    return tuple(
        replace(change, stage=name or None)
        for name in order
        for change in tensor_changes(before.get(name), right.graphs.get(name))
    )


def _note(side: CompiledSide) -> str:
    """Why a side is compared as written: its source is out of reach, or it does not check."""
    first = side.problems[0]
    unread = first.code.startswith(("GP3", "GP4")) or first.code == "GP130"
    known = first.span is None or (unread and first.span.source.name == side.name)  # it names its source
    place = "" if known else f" ({first.span})"
    why = "without its source" if unread else "for it does not check"
    return f"{side.name}: compared as written, {why}: {first.code}: {first.message}{place}"


# steps -------------------------------------------------------------------------------------------------


def edits(
    old: Sequence[StepFacts], new: Sequence[StepFacts], stages: Sequence[StageEdit] = ()
) -> tuple[StepEdit, ...]:
    """One edit per step, in the new order; what was removed stands before what took its place.

    Steps are one by id, else where they say the same under another id. Those of a stage go where it goes:
    a step moved where it stands at another place in its stage, or in another one.
    """
    renamed = names(stages)
    place = {edit.old.name: at for at, edit in enumerate(stages) if not isinstance(edit, Added)}
    old = sorted(old, key=lambda step: -1 if step.stage is None else place[step.stage])
    pairs = paired(old, new, [lambda step: (step.id,), lambda step: (_meaning(step),)])
    return aligned(
        old,
        new,
        pairs,
        lambda a, b: step_changes(a, b, renamed),
        lambda a, b: None in (a.stage, b.stage) or not _elsewhere(a, b, renamed),
    )


def _elsewhere(old: StepFacts, new: StepFacts, renamed: Mapping[str, str]) -> bool:
    """Whether a step is in another stage than it was, in one, or in none any more."""
    return (
        old.stage != new.stage
        if None in (old.stage, new.stage)
        else renamed.get(old.stage or "") != new.stage
    )


def _meaning(step: StepFacts) -> tuple[object, ...]:
    return step.verb, step.method, step.sizes, step.words, step.options


def step_changes(old: StepFacts, new: StepFacts, renamed: Mapping[str, str]) -> tuple[Change, ...]:
    """The fields that differ, those the user wrote first."""
    return differing(
        [
            ("id", old.id, new.id),
            *([("stage", old.stage, new.stage)] if _elsewhere(old, new, renamed) else []),
            ("verb", old.verb, new.verb),
            ("sizes", old.words, new.words),
            ("method", old.method, new.method),
            *((f"option {key}", a, b) for key, a, b in by_key(dict(old.options), dict(new.options))),
            ("implied", old.implied, new.implied),
            ("candidate", old.candidate, new.candidate),
            ("claim", old.promised, new.promised),
            ("proof", old.proof, new.proof),
        ]
    )


# stages ------------------------------------------------------------------------------------------------


def stage_edits(old: Sequence[StageFacts], new: Sequence[StageFacts]) -> tuple[StageEdit, ...]:
    """One edit per stage, in the new order.

    Stages are one by name, else where they say the same under another name, share a step, or stand at
    one place and grow nothing.
    """
    pairs = paired(
        old,
        new,
        [
            lambda stage: (stage.name,),
            lambda stage: ((stage.steps, stage.training),),
            lambda stage: stage.steps,
            lambda stage: () if stage.steps else (stage.index,),
        ],
    )
    return aligned(old, new, pairs, _stage_changes)


def _stage_changes(old: StageFacts, new: StageFacts) -> tuple[Change, ...]:
    fields = by_key(dict(old.training), dict(new.training))
    if bool(old.training) != bool(new.training):  # as a whole, not key by key
        was, now = (stage.text.partition(": ")[2] or None for stage in (old, new))
        fields = [("training", was, now)]
    return differing([("name", old.name, new.name), *fields])


def names(stages: Sequence[StageEdit]) -> dict[str, str]:
    """Old name -> new name of the stages that both have."""
    return {e.old.name: e.new.name for e in stages if not isinstance(e, (Added, Removed))}
