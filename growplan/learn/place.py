"""Where a plan's data lies, and whether it can be used: what `check` says before anything is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from growplan.check.typed import TypedPlan
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.language.plan import Plan
from growplan.learn.data import inspect, mask_token


def data_folder(plan: Plan) -> Path:
    """What data paths of a plan are relative to: its file's folder."""
    return Path(plan.path).parent if plan.path is not None else Path()


def data_path(data: str, base: Path) -> Path:
    """The file that a plan's word names, without detours (`p/../x`) unless a link makes them count."""
    path = base / os.path.expanduser(data)  # noqa: PTH111 - Path.expanduser raises for a user there is none of
    straight = Path(os.path.normpath(path))
    return straight if os.path.realpath(straight) == os.path.realpath(path) else path


def data_findings(typed: TypedPlan, source: Path, *, weights: bool) -> Iterator[Diagnostic]:
    """What is wrong with the data of each step, at its place. `weights`: the source can be applied."""
    for step in typed.steps:
        if step.fit is None:
            continue
        path = data_path(step.fit.data, data_folder(typed.plan))
        try:
            vocab = step.before.sizes["vocab"]
            inspect(path, source, vocab, step.fit.batch, step.fit.length, weights=weights)
            if weights and step.fit.loss == "masked":
                mask_token(source, step.fit.mask, vocab)
        except DiagnosticError as error:
            yield from (d.at(step.fit.place) for d in error.diagnostics)
