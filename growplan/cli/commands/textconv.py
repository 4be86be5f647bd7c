"""`growplan textconv`: a plan in canonical text, for git's `diff.growplan.textconv`."""

from __future__ import annotations

import click

from growplan.cli import options
from growplan.cli.console import Console


@options.command()
@click.argument("file")
def command(console: Console, file: str) -> None:
    """Print a plan in canonical text, so that plain `git log -p` compares meaning, not layout."""
    from growplan.cli.driver import textconv
    from growplan.views.report import document

    text = textconv(file)
    console.raw(document("textconv", {"file": file, "text": text}) if console.as_json else text)
