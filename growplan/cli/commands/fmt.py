"""`growplan fmt`: plans in canonical layout, or converted between YAML and DSL."""

from __future__ import annotations

from collections.abc import Sequence

import click

from growplan.cli import options
from growplan.cli.console import Console
from growplan.cli.formatting import format_source, replace_file
from growplan.views.fmt import Formatted


@options.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 if a file would change.")
@click.option("--to", type=click.Choice(["yaml", "dsl"]), help="Convert to this syntax, on stdout.")
def command(console: Console, files: Sequence[str], only_check: bool, to: str | None) -> int:
    """Format plans in place; with --to, print them in the other syntax.

    Comments are kept. `-` formats standard input to standard output.
    """
    if to is not None and len(files) > 1:
        raise click.UsageError("--to converts one file at a time")
    results = [format_source(path, to) for path in files]
    changed = [r for r in results if r.changed]
    if not only_check:
        for result in results:
            _deliver(console, result)
    from growplan.views.fmt import FmtReport

    on_stdout = not only_check and any(r.to_stdout for r in results)
    console.emit(FmtReport(tuple(results), only_check, console.verbose), human=not on_stdout)
    return int(only_check and bool(changed))


def _deliver(console: Console, result: Formatted) -> None:
    if result.to_stdout:
        if not console.as_json:
            console.raw(result.text)
    elif result.changed:
        replace_file(result.path, result.text)
