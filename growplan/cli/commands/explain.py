"""`growplan explain`: what a diagnostic code means."""

from __future__ import annotations

import click

from growplan.cli import options
from growplan.cli.console import Console


@options.command()
@click.argument("code", required=False)
def command(console: Console, code: str | None) -> None:
    """Explain a diagnostic code such as GP204; without one, list them all."""
    from growplan.diagnostics.codes import codes
    from growplan.views.explain import CodeReport, CodesReport

    table = codes()
    if code is None:
        return console.emit(CodesReport(table))
    name = code.upper() if code.upper().startswith("GP") else f"GP{code}"
    if name not in table:
        raise click.BadParameter(f"{code} is not a code; `growplan explain` lists them", param_hint="CODE")
    return console.emit(CodeReport(name, table[name]))
