"""`growplan show`: a plan as IR, table, picture or page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import click

from growplan.cli import options
from growplan.cli.console import Console
from growplan.cli.plans import display_name, read_plan
from growplan.language.plan import Plan

FORMS = ("ir", "table", "dot", "mermaid", "json", "html")


@options.command()
@options.plan_argument
@click.option("--as", "form", type=click.Choice(FORMS), default="ir", show_default=True, help="The form.")
@click.option("--optimized", is_flag=True, help="With --as ir: after the passes, as it is executed.")
@options.plan_options
def command(
    console: Console,
    plan: str,
    form: str,
    optimized: bool,
    model_dir: str | None,
    family: str | None,
    overrides: Sequence[str],
) -> None:
    """Look at a plan: its IR, its sizes, or the chain of models as a picture."""
    if optimized and form != "ir":
        raise click.UsageError("--optimized goes with --as ir")
    parsed = read_plan(plan, overrides)
    if console.as_json or form == "json":
        return console.raw(_json(parsed, display_name(plan), model_dir, family))
    if form == "ir":
        return console.raw(_ir(parsed, model_dir, family, optimized))
    from growplan.pipeline import check

    typed = check(parsed, model_dir=model_dir, family=family)
    return console.raw(_renderers(console, display_name(plan))[form](typed))


def _renderers(console: Console, name: str) -> Mapping[str, Callable[..., str]]:
    from growplan.views.show import dot, html, mermaid, table

    return {
        "table": lambda typed: table.render(typed, console.style),
        "dot": dot.render,
        "mermaid": mermaid.render,
        "html": lambda typed: html.render(typed, name),
    }


def _ir(plan: Plan, model_dir: str | None, family: str | None, optimized: bool) -> str:
    from growplan.ir.text import print_ir
    from growplan.pipeline import Stage, compile_plan

    stage: Stage = "passes" if optimized else "lower"
    compiled = compile_plan(plan, model_dir=model_dir, family=family, stop_after=stage)
    graph = compiled.final if optimized else compiled.graph
    assert graph is not None
    return print_ir(graph)


def _json(plan: Plan, name: str, model_dir: str | None, family: str | None) -> str:
    from growplan.ir.text import print_ir
    from growplan.pipeline import compile_plan
    from growplan.views.check import CheckReport
    from growplan.views.report import document

    compiled = compile_plan(plan, model_dir=model_dir, family=family, stop_after="lower")
    assert compiled.typed is not None and compiled.graph is not None
    return document("show", {**CheckReport(compiled.typed, name).data(), "ir": print_ir(compiled.graph)})
