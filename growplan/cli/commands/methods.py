"""`growplan methods`: what can stand after `via`."""

from __future__ import annotations

import click

from growplan.cli import options
from growplan.cli.console import Console


@options.command()
@click.argument("name", required=False)
def command(console: Console, name: str | None) -> None:
    """List the growth methods: verbs, axes, claim and paper; NAME shows one with its options."""
    from growplan.methods.registry import get_method, method_names
    from growplan.views.listing import MethodReport, MethodsReport

    if name is None:
        found = [get_method(each) for each in method_names()]
        return console.emit(MethodsReport(tuple(method for method in found if method is not None)))
    method = get_method(name)
    if method is None:
        raise click.BadParameter(f"{name} is not a method; `growplan methods` lists them", param_hint="NAME")
    return console.emit(MethodReport(method))
