"""`growplan methods`: what can stand after `via`."""

from __future__ import annotations

import click

from growplan.cli import options
from growplan.cli.console import Console
from growplan.diagnostics import fail


@options.command()
@click.argument("name", required=False)
def command(console: Console, name: str | None) -> None:
    """List the growth methods: claim, paper and defaults of options; NAME shows one in full."""
    from growplan.families.problems import close_to as did_you_mean
    from growplan.methods import get_method, method_doc, method_names
    from growplan.views.listing import MethodReport, MethodsReport

    if name is None:
        found = [get_method(each) for each in method_names()]
        return console.emit(MethodsReport(tuple(method for method in found if method is not None)))
    method = get_method(name)
    if method is None:
        help = (*did_you_mean(name, method_names()), f"methods: {', '.join(method_names())}")
        fail("GP111", f"there is no growth method `{name}`", help=help)
    return console.emit(MethodReport(method, method_doc(name)))
