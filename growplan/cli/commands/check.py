"""`growplan check`: parse, resolve, type, prove. Reads no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from growplan.cli import options
from growplan.cli.console import Console
from growplan.cli.plans import display_name, read_expression, read_plan
from growplan.diagnostics import Diagnostic, DiagnosticError

if TYPE_CHECKING:
    from growplan.language.plan import Plan
    from growplan.views.checks import Checked


@options.command()
@click.argument("plans", metavar="[PLAN]...", nargs=-1)
@click.option("-e", "expression", metavar="STEPS", help='Check a line: -e "widen hidden 384→768 via fpi".')
@click.option("--optimizer", is_flag=True, help="Say what becomes of AdamW's moments in every step.")
@options.plan_options
def command(
    console: Console,
    plans: Sequence[str],
    expression: str | None,
    optimizer: bool,
    model_dir: str | None,
    family: str | None,
    overrides: Sequence[str],
) -> int:
    """Say what a plan does, and prove its claims.

    Reads the plan and the source's config.json (and tensor headers where present), never
    weights. PLAN is a file, or - for standard input. With several plans, --json holds the
    document of each under `plans`. Of a plan with stages it prints the schedule, and what it costs.
    """
    if bool(plans) == (expression is not None):
        raise click.UsageError("give PLAN or -e STEPS" + (", not both" if plans else ""))

    def check(name: str, read: Callable[[], Plan]) -> Checked:
        from growplan.pipeline import check, check_moments, check_schedule, read_for, schedule_moments
        from growplan.views.check import CheckReport

        plan = read_for(read, model_dir=model_dir, family=family)
        if plan.stages:
            from growplan.views.schedule import ScheduleReport

            schedule = check_schedule(plan, model_dir=model_dir, family=family)
            by_stage = schedule_moments(schedule) if optimizer else {}
            return ScheduleReport(schedule, name, console.verbose, by_stage)
        if optimizer:
            typed, moments = check_moments(plan, model_dir=model_dir, family=family)
            return CheckReport(typed, name, console.verbose, moments)
        return CheckReport(check(plan, model_dir=model_dir, family=family), name, console.verbose)

    if expression is not None:
        found = check("-e", lambda: read_expression(expression, overrides))
        return _show(console, found)
    if len(plans) == 1:
        return _show(console, check(display_name(plans[0]), lambda: read_plan(plans[0], overrides)))
    return _show_all(console, plans, lambda path: check(path, lambda: read_plan(path, overrides)))


def _show(console: Console, report: Checked) -> int:
    console.emit(report)
    console.diagnose(report.lints, gap=not console.as_json)
    return 0


def _show_all(console: Console, paths: Iterable[str], check: Callable[[str], Checked]) -> int:
    """Several plans: a line each, every finding, exit code 1 if any has a problem."""
    from growplan.views.checks import ChecksReport

    reports: dict[str, Checked | tuple[Diagnostic, ...]] = {}
    for path in paths:
        try:
            reports[path] = check(path)
        except DiagnosticError as error:
            reports[path] = error.diagnostics
    console.emit(ChecksReport(reports), ok=all(not isinstance(r, tuple) for r in reports.values()))
    console.diagnose(list(_findings(reports.values())))
    return int(any(isinstance(r, tuple) for r in reports.values()))


def _findings(reports: Iterable[Checked | tuple[Diagnostic, ...]]) -> Iterator[Diagnostic]:
    for report in reports:
        yield from report if isinstance(report, tuple) else report.lints
