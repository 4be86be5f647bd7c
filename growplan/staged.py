"""One stage of a plan: its growth alone, and the checkpoint that it begins with."""

from __future__ import annotations

from pathlib import Path

from growplan.check.stages import Schedule, TypedStage, check_stages
from growplan.diagnostics import DiagnosticError, fail
from growplan.families.model import Model
from growplan.language.plan import Plan
from growplan.pipeline import (
    Compiled,
    bind_source,
    check_schedule,
    lowered,
    source_directory,
    stage_plan,
)
from growplan.pipeline import Stage as Stop
from growplan.runtime.state import refuse_half_grown


def begin_stage(
    plan: Plan,
    name: str,
    begin: str | Path | None = None,
    *,
    model_dir: str | Path | None = None,
    family: str | Path | None = None,
) -> tuple[Plan, Path]:
    """The growth of stage `name` as a plan of its own, and the checkpoint that it grows: `begin`.

    `begin` may be left out where the stage is the first; it then grows the plan's source. The whole plan is
    checked. Raises GP597 where there is no such stage or it grows nothing, GP598 where `begin` is missing or
    is not the model that the stage begins with, GP588 where it is in the middle of a ramp.
    """
    alone = stage_plan(plan, name)
    _, _, source = bind_source(plan, model_dir, family)
    stage = _growing(check_stages(plan, source), name)
    if begin is None:
        if stage.index > 1:
            before = plan.stages[stage.index - 2].name
            what = f"stage `{name}` grows what stage `{before}` has left, and no checkpoint is given"
            fail("GP598", what, stage.stage.span, help="give it: `--from DIR`")
        return alone, source_directory(plan, model_dir)
    directory = Path(begin)
    try:
        config, _, found = bind_source(alone, directory, family)
    except DiagnosticError:
        if family is not None or alone.family is not None:
            _hold_to(stage, _as_it_says(alone, directory), directory)
        raise
    _hold_to(stage, found, directory)
    refuse_half_grown(config.directory, ended=True)
    return alone, directory


def _as_it_says(alone: Plan, directory: Path) -> Model:
    """A checkpoint that a family given does not describe, by the family that its config names."""
    return bind_source(alone.model_copy(update={"family": None}), directory)[2]


def compile_stage(
    plan: Plan,
    name: str,
    *,
    model_dir: str | Path | None = None,
    family: str | Path | None = None,
    stop_after: Stop = "passes",
) -> Compiled:
    """Compile the growth of one stage against the sizes that the plan comes to there; no checkpoint is read.

    Raises GP597 where there is no such stage or it grows nothing, and whatever is wrong with the plan.
    """
    alone = stage_plan(plan, name)
    config, headers, _ = bind_source(plan, model_dir, family)
    schedule = check_schedule(plan, model_dir=model_dir, family=family)
    stage = _growing(schedule, name)
    grown = any(each.typed is not None for each in schedule.stages[: stage.index - 1])
    found = Compiled(alone, config, None if grown else headers, stage.before, stage.typed)
    return lowered(found, stop_after)


def _growing(schedule: Schedule, name: str) -> TypedStage:
    """The stage of a name. Raises GP597 where it grows nothing."""
    stage = schedule[name]
    if stage.typed is None:
        grown = [f"`{each.name}`" for each in schedule.stages if each.typed is not None]
        ways = f"name one that grows: {', '.join(grown)}" if grown else "run it by `growplan train PLAN`"
        fail("GP597", f"stage `{name}` grows nothing", stage.stage.span, help=ways)
    return stage


def _hold_to(stage: TypedStage, found: Model, directory: Path) -> None:
    """GP598 unless a checkpoint is the model that a stage begins with."""
    wanted = stage.before
    facts = [
        ("family", found.family.name, wanted.family.name),
        ("class", found.architecture, wanted.architecture),
        ("tied head", found.tied, wanted.tied),
        *((axis, found.sizes.get(axis), size) for axis, size in wanted.sizes.items()),
    ]
    wrong = [(fact, here, there) for fact, here, there in facts if here != there]
    if not wrong:
        return
    fact, here, there = wrong[0]
    fail(
        "GP598",
        f"`{fact}` is {here} in {directory}, and stage `{stage.name}` begins with {there}",
        stage.stage.span,
        notes=[("also", f"`{fact}` is {here}, not {there}") for fact, here, there in wrong[1:]],
        help=("give the checkpoint that the stage before has trained: `--from DIR`",),
    )
