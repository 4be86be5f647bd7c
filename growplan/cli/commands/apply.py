"""`growplan apply`: assert every step, write the grown checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import click

from growplan.checkpoint.training import MODES, OptimizerMode
from growplan.cli import options
from growplan.cli.console import Console
from growplan.cli.plans import display_name, read_plan
from growplan.cli.sizes import byte_size


@options.command()
@options.plan_argument
@click.option("-o", "--out", metavar="DIR", help="Where to write; overrides the plan's `target`.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:K or auto.")
@click.option("--memory", callback=byte_size, metavar="SIZE", help="Working memory, e.g. 2GB.")
@click.option(
    "--stock/--no-stock",
    default=None,
    help="Load source and result by transformers too, and compare [default: where both fit in memory].",
)
@click.option(
    "--optimizer",
    type=click.Choice(MODES),
    help="Carry a Trainer's state, with AdamW's moments grown or reset [default: drop].",
)
@click.option("--dry-run", is_flag=True, help="Check everything that can be checked; write nothing.")
@click.option("--force", is_flag=True, help="Replace a checkpoint at the target.")
@click.option("--resume", is_flag=True, help="Go on with the fit of an interrupted run (learned steps).")
@click.option("--shard", is_flag=True, help="Under torchrun: cut the fit over the processes (FSDP).")
@click.option("--stage", metavar="NAME", help="Of a plan with stages: grow this one.")
@click.option("--from", "start", metavar="DIR", help="What the stage before has trained [default: source].")
@options.plan_options
def command(
    console: Console,
    plan: str,
    out: str | None,
    device: str,
    memory: int | None,
    stock: bool | None,
    optimizer: OptimizerMode | None,
    dry_run: bool,
    force: bool,
    resume: bool,
    shard: bool,
    stage: str | None,
    start: str | None,
    model_dir: str | None,
    family: str | None,
    overrides: Sequence[str],
) -> None:
    """Grow a checkpoint and write it as a Hugging Face directory.

    Every step is asserted against the step before it; the target appears whole or not at all.
    """
    if start is not None and stage is None:
        raise click.UsageError("--from goes with --stage; another source is given by --model")
    from growplan.apply import apply
    from growplan.cli.progress import apply_progress
    from growplan.pipeline import read_for
    from growplan.views.apply import ApplyReport

    parsed = read_for(lambda: read_plan(plan, overrides), model_dir=model_dir, family=family)
    begin = perf_counter()
    with apply_progress(console) as progress:
        result = apply(
            parsed,
            out,
            model_dir=model_dir,
            family=family,
            device=device,
            force=force,
            resume=resume,
            dry_run=dry_run,
            memory=memory,
            stock=stock,
            optimizer=optimizer,
            shard=shard,
            stage=stage,
            begin=start,
            progress=progress,
        )
    console.emit(ApplyReport(result, display_name(plan), perf_counter() - begin))
    console.diagnose((*result.typed.lints, *result.findings), gap=not console.as_json)
