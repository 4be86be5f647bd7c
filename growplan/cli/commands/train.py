"""`growplan train`: grow and train, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import click

from growplan.cli import options
from growplan.cli.console import Console
from growplan.cli.plans import display_name, read_plan


@options.command()
@options.plan_argument
@click.option("-o", "--out", metavar="DIR", help="The run's directory; overrides the plan's `target`.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or auto.")
@click.option(
    "--stock/--no-stock",
    default=None,
    help="At each growth load both models by transformers, and compare [default: where both fit].",
)
@click.option("--dry-run", is_flag=True, help="Check everything that can be checked; write nothing.")
@click.option("--force", is_flag=True, help="Begin a run anew that is there already.")
@options.plan_options
def command(
    console: Console,
    plan: str,
    out: str | None,
    device: str,
    stock: bool | None,
    dry_run: bool,
    force: bool,
    model_dir: str | None,
    family: str | None,
    overrides: Sequence[str],
) -> None:
    """Grow and train a model by the stages of a plan, with transformers' Trainer.

    A run that was stopped, at whatever moment, goes on when the same command is given again, and ends
    with what it would have ended with. The last model is in DIR/model.
    """
    from growplan.cli.progress import train_progress
    from growplan.pipeline import read_for
    from growplan.training.run import train
    from growplan.views.train import TrainReport

    parsed = read_for(lambda: read_plan(plan, overrides), model_dir=model_dir, family=family)
    begin = perf_counter()
    try:
        with train_progress(console) as progress:
            result = train(
                parsed,
                out,
                model_dir=model_dir,
                family=family,
                device=device,
                force=force,
                dry_run=dry_run,
                stock=stock,
                progress=progress,
            )
    except KeyboardInterrupt:
        console.note("the same command goes on from the last checkpoint")
        raise
    console.emit(TrainReport(result, display_name(plan), perf_counter() - begin))
    console.diagnose(result.findings, gap=not console.as_json)
