"""`growplan log`: how a grown checkpoint came to be."""

from __future__ import annotations

from pathlib import Path

import click

from growplan.cli import options
from growplan.cli.console import Console
from growplan.diagnostics import fail


@options.command()
@click.argument("directory", metavar="DIR")
def command(console: Console, directory: str) -> None:
    """Show the lineage in DIR/growth.json: plans, steps, claims and measured errors, newest first."""
    from growplan.checkpoint.growth_reader import read_growth
    from growplan.views.record import LogReport

    growth = read_growth(Path(directory))
    if growth is None:
        fail(
            "GP605",
            f"{directory} has no growth.json: growplan did not make it",
            help="name a directory that `growplan apply` wrote",
        )
    console.emit(LogReport(directory, growth))
