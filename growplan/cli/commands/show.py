"""`growplan show`: a plan as IR, table, picture or page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from growplan.cli import options
from growplan.cli.console import Console
from growplan.cli.plans import display_name, read_plan
from growplan.diagnostics import fail
from growplan.language.plan import Plan

if TYPE_CHECKING:
    from growplan.pipeline import Compiled, Stage

FORMS = ("ir", "table", "dot", "mermaid", "json", "html")
IN_TURN = ("table", "json")  # forms of a plan with stages as a whole


@options.command()
@options.plan_argument
@click.option("--as", "form", type=click.Choice(FORMS), default="ir", show_default=True, help="The form.")
@click.option("--stage", metavar="NAME", help="Of a plan with stages: this one.")
@click.option("--optimized", is_flag=True, help="With --as ir: after the passes, as it is executed.")
@options.plan_options
def command(
    console: Console,
    plan: str,
    form: str,
    stage: str | None,
    optimized: bool,
    model_dir: str | None,
    family: str | None,
    overrides: Sequence[str],
) -> None:
    """Look at a plan: its IR, its sizes, or the chain of models as a picture.

    Of a plan with stages, table and json show each stage in turn; the others show one: --stage NAME.
    """
    if optimized and form != "ir":
        raise click.UsageError("--optimized goes with --as ir")
    form = "json" if console.as_json else form
    name = display_name(plan)
    shown = _Shown(read_plan(plan, overrides), stage, model_dir, family)
    if shown.whole:
        return console.raw(_in_turn(console, shown, name, form))
    if form == "json":
        return console.raw(_json(shown.compiled("lower"), name))
    if form == "ir":
        return console.raw(_ir(shown.compiled("passes" if optimized else "lower"), optimized))
    return console.raw(_renderers(console, name)[form](shown.compiled("check").typed))


@dataclass(frozen=True)
class _Shown:
    """A plan, or one stage of it."""

    plan: Plan
    stage: str | None
    model_dir: str | None
    family: str | None

    @property
    def whole(self) -> bool:
        """Whether it is all stages of a plan."""
        return self.stage is None and bool(self.plan.stages)

    def compiled(self, stop_after: Stage) -> Compiled:
        """What is shown, compiled; typed at least. Raises GP597 where there is no such stage."""
        from growplan.pipeline import compile_plan
        from growplan.staged import compile_stage

        if self.stage is None:
            return compile_plan(
                self.plan, model_dir=self.model_dir, family=self.family, stop_after=stop_after
            )
        return compile_stage(
            self.plan, self.stage, model_dir=self.model_dir, family=self.family, stop_after=stop_after
        )


def _in_turn(console: Console, shown: _Shown, name: str, form: str) -> str:
    """All stages of a plan. Raises GP594 for a form that shows one growth."""
    from growplan.pipeline import check_schedule
    from growplan.views.show import staged

    if form not in IN_TURN:
        grown = next((stage.name for stage in shown.plan.stages if stage.steps), None)
        help = [f"see all of it: `--as {other}`" for other in IN_TURN]
        help = [f"see one stage: `--as {form} --stage {grown}`"] * (grown is not None) + help
        message = f"`--as {form}` shows one growth, and the plan has {len(shown.plan.stages)} stages"
        fail("GP594", message, shown.plan.place("stages"), help=help)
    if form == "json":
        return _staged_json(shown, name)
    schedule = check_schedule(shown.plan, model_dir=shown.model_dir, family=shown.family)
    return staged.render(schedule, console.style)


def _staged_json(shown: _Shown, name: str) -> str:
    """`check`'s document, with the IR of each stage that grows."""
    from growplan.ir.lower import lower
    from growplan.ir.text import print_ir
    from growplan.pipeline import bind_source, check_schedule, tensor_types
    from growplan.views.report import document
    from growplan.views.schedule import ScheduleReport

    schedule = check_schedule(shown.plan, model_dir=shown.model_dir, family=shown.family)
    _, headers, _ = bind_source(shown.plan, shown.model_dir, shown.family)
    types = tensor_types(headers)
    data = ScheduleReport(schedule, name).data()
    for stage, out in zip(schedule.stages, data["stages"], strict=True):
        out["ir"] = None if stage.typed is None else print_ir(lower(stage.typed, types))
        types = types if stage.typed is None else {}  # headers are those of the source
    return document("show", data)


def _renderers(console: Console, name: str) -> Mapping[str, Callable[[Any], str]]:
    from growplan.views.show import dot, html, mermaid, table

    return {
        "table": lambda typed: table.render(typed, console.style),
        "dot": dot.render,
        "mermaid": mermaid.render,
        "html": lambda typed: html.render(typed, name),
    }


def _ir(compiled: Compiled, optimized: bool) -> str:
    from growplan.ir.text import print_ir

    graph = compiled.final if optimized else compiled.graph
    assert graph is not None
    return print_ir(graph)


def _json(compiled: Compiled, name: str) -> str:
    from growplan.ir.text import print_ir
    from growplan.views.check import CheckReport
    from growplan.views.report import document

    assert compiled.typed is not None and compiled.graph is not None
    return document("show", {**CheckReport(compiled.typed, name).data(), "ir": print_ir(compiled.graph)})
