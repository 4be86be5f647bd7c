"""`growplan toy`: run a plan at small sizes, on a random source of its own family."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import click

from growplan.cli import options
from growplan.cli.console import Console
from growplan.cli.plans import display_name, read_plan


@options.command()
@options.plan_argument
@click.option("-o", "--out", metavar="DIR", help="Keep source/, grown/ and plan.grow in a new directory.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:K or auto.")
@click.option("--stock", is_flag=True, help="Load source and result by transformers too, and compare.")
@options.plan_options
def command(
    console: Console,
    plan: str,
    out: str | None,
    device: str,
    stock: bool,
    model_dir: str | None,
    family: str | None,
    overrides: Sequence[str],
) -> None:
    """Run a plan in seconds, without its weights: every size shrunk, a random source.

    Sizes shrink by common divisors, so that ratios, remainders and the family's equations stay; the
    toy must be proved to be what the plan is, and every assertion of `apply` runs. Without --out
    nothing is kept. Of a plan with stages the growth of each is run, and nothing is trained.
    """
    from growplan.cli.progress import apply_progress
    from growplan.pipeline import read_for
    from growplan.toy import StagedToy, run_toy, run_toys
    from growplan.views.toy import StagedToyReport, ToyReport

    parsed = read_for(lambda: read_plan(plan, overrides), model_dir=model_dir, family=family)
    begin = perf_counter()
    run = run_toys if parsed.stages else run_toy
    with apply_progress(console) as progress:
        result = run(
            parsed, out, model_dir=model_dir, family=family, device=device, stock=stock, progress=progress
        )
    name, seconds = display_name(plan), perf_counter() - begin
    if isinstance(result, StagedToy):
        console.emit(StagedToyReport(result, name, seconds))
    else:
        console.emit(ToyReport(result, name, seconds))
