"""The text of any result, by its type."""

from __future__ import annotations

from typing import Any

from growplan.views.style import PLAIN


def rendered(value: Any) -> str:
    """What the command line prints for a value. Raises TypeError for what is no result."""
    from growplan.diagnostics import Diagnostic, DiagnosticError

    if isinstance(value, DiagnosticError):
        from growplan.views.diagnostics import render_text

        return render_text(value.diagnostics)
    if isinstance(value, Diagnostic):
        from growplan.views.diagnostics import render_one

        return render_one(value)
    make = {
        "TypedPlan": _typed,
        "Schedule": _schedule,
        "PlanDiff": _diff,
        "ApplyResult": _applied,
        "ToyResult": _toy,
        "StagedToy": _toys,
        "Graph": _graph,
        "Plan": _plan,
    }
    kind = type(value).__name__
    if kind not in make:
        raise TypeError(f"{kind} is not a result of growplan")
    return make[kind](value)


def _typed(value: Any) -> str:
    from growplan.views.check import CheckReport

    return CheckReport(value, value.plan.path or "plan").human(PLAIN)


def _schedule(value: Any) -> str:
    from growplan.views.schedule import ScheduleReport

    return ScheduleReport(value, value.plan.path or "plan").human(PLAIN)


def _diff(value: Any) -> str:
    from growplan.views.diff import DiffReport

    return DiffReport(value).human(PLAIN)


def _applied(value: Any) -> str:
    from growplan.views.apply import ApplyReport

    return ApplyReport(value, value.typed.plan.path or "plan", None).human(PLAIN)


def _toy(value: Any) -> str:
    from growplan.views.toy import ToyReport

    return ToyReport(value, value.full.plan.path or "plan").human(PLAIN)


def _toys(value: Any) -> str:
    from growplan.views.toy import StagedToyReport

    return StagedToyReport(value, value.schedule.plan.path or "plan").human(PLAIN)


def _graph(value: Any) -> str:
    from growplan.ir.text import print_ir

    return print_ir(value)


def _plan(value: Any) -> str:
    from growplan.language import canonical

    return canonical(value)
