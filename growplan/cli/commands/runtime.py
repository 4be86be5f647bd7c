"""`growplan runtime`: checkpoints in the middle of a ramp."""

from __future__ import annotations

import click

from growplan.cli import options
from growplan.cli.console import Console


@click.group("runtime")
def command() -> None:
    """Checkpoints whose growth masks have not risen yet."""


@options.command()
@click.argument("directory", metavar="DIR")
@click.argument("out", metavar="OUT")
@click.option("--force", is_flag=True, help="Replace a checkpoint at OUT.")
@options.family_option
def export(console: Console, directory: str, out: str, force: bool, family: str | None) -> None:
    """Write DIR with its masks in the weights, so that a stock load is the model that was trained.

    Masks of heads, ffn and pre-norm layers can be in the weights; those of hidden and of post-norm layers
    cannot, before they are 1.
    """
    from growplan.runtime.export import export as write
    from growplan.views.runtime import ExportReport

    written = write(directory, out, family=family, force=force)
    console.emit(ExportReport(directory, str(written.path), written.left))


export.name = "export"
command.add_command(export)
