"""Where a plan's data lies, and whether it can be used: what `check` says before anything is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from growplan.check.fitted import Fit
from growplan.check.stages import Schedule
from growplan.check.training import place
from growplan.check.typed import TypedPlan, TypedStep
from growplan.diagnostics import Diagnostic, DiagnosticError, Span
from growplan.families.positions import longest_input
from growplan.language.plan import Plan
from growplan.learn.data import inspect, mask_token
from growplan.learn.forms import check_size, look_at


def data_folder(plan: Plan) -> Path:
    """What data paths of a plan are relative to: its file's folder."""
    return Path(plan.path).parent if plan.path is not None else Path()


def data_path(data: str, base: Path) -> Path:
    """The file that a plan's word names, without detours (`p/../x`) unless a link makes them count."""
    path = base / os.path.expanduser(data)  # noqa: PTH111 - Path.expanduser raises for a user there is none of
    straight = Path(os.path.normpath(path))
    return straight if os.path.realpath(straight) == os.path.realpath(path) else path


def data_place(plan: Plan, step: TypedStep) -> Span | None:
    """Where the plan names the data of a step."""
    if step.fit is not None:
        return step.fit.place
    written = next((each for each in plan.steps if each.id == step.id), None)
    return step.span if written is None else written.place("on")


def data_findings(typed: TypedPlan, source: Path, *, weights: bool) -> Iterator[Diagnostic]:
    """What is wrong with the data of each step, at its place. `weights`: the source can be applied."""
    for step in typed.steps:
        try:
            if step.fit is not None:
                _look_at_batch(step, step.fit, source, data_folder(typed.plan), weights)
            elif step.operator is not None:
                path = data_path(step.data, data_folder(typed.plan))
                look_at(path, source, step.after, step.operator.recipe, weights=weights)
                check_size(path, step.after, step.operator.recipe)
        except DiagnosticError as error:
            yield from (d.at(data_place(typed.plan, step)) for d in error.diagnostics)


def training_findings(schedule: Schedule, source: Path, *, weights: bool) -> Iterator[Diagnostic]:
    """What is wrong with the data that stages train on, once for what several of them share."""
    base, seen = data_folder(schedule.plan), set()
    for stage in schedule.stages:
        if stage.training is None:
            continue
        path, recipe = data_path(stage.training.on, base), stage.training.recipe
        facts = (path, recipe.tokens, recipe.mask, longest_input(stage.after), stage.after.sizes.get("vocab"))
        if facts in seen:
            continue
        seen.add(facts)
        try:
            look_at(path, source, stage.after, recipe, weights=weights)
            check_size(path, stage.after, recipe)
        except DiagnosticError as error:
            yield from (d.at(place(schedule.plan, stage.stage, "on")) for d in error.diagnostics)


def _look_at_batch(step: TypedStep, fit: Fit, source: Path, base: Path, weights: bool) -> None:
    vocab = step.before.sizes["vocab"]
    inspect(data_path(fit.data, base), source, vocab, fit.batch, fit.length, weights=weights)
    if weights and fit.loss == "masked":
        mask_token(source, fit.mask, vocab)
