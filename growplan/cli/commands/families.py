"""`growplan families`: which model families growplan knows."""

from __future__ import annotations

import click

from growplan.cli import options
from growplan.cli.console import Console


@options.command()
@click.argument("name", required=False)
def command(console: Console, name: str | None) -> None:
    """List the model families; NAME (or a family file) shows its axes, equations and modules."""
    from growplan.families import builtin_families, load_family
    from growplan.views.families import FamiliesReport, FamilyReport

    if name is None:
        return console.emit(FamiliesReport(tuple(load_family(each) for each in builtin_families())))
    return console.emit(FamilyReport(load_family(name)))
