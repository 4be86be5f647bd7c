"""`growplan diff`: what changed between two plans, by meaning; also a git diff driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from growplan.cli import options
from growplan.cli.console import Console
from growplan.cli.operands import Pair, is_driver_call, pairs

_SPLIT = "growplan.diff.paths"


class _Diff(click.Command):
    """Keeps what stands after `--`, which names plans, apart from the revisions before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            args, ctx.meta[_SPLIT] = args[:at], tuple(args[at + 1 :])
        elif is_driver_call(args):  # git passes plain values; none of them is an option
            args, ctx.meta[_SPLIT] = [], tuple(args)
        return super().parse_args(ctx, args)


@options.command(cls=_Diff)
@click.argument("operands", metavar="OLD NEW | REV [REV] [-- PLAN...]", nargs=-1)
@click.option("--exit-code", is_flag=True, help="Exit 1 if the plans differ, 0 if they mean the same.")
@click.option("--text", "form", flag_value="text", default="text", help="For people (the default).")
@click.option("--md", "form", flag_value="md", help="Markdown, for a pull request.")
@click.option("--no-tensors", is_flag=True, help="Leave out what changes for single tensors.")
@options.plan_options
@click.pass_context
def command(
    ctx: click.Context,
    console: Console,
    operands: Sequence[str],
    exit_code: bool,
    form: str,
    no_tensors: bool,
    model_dir: str | None,
    family: str | None,
    overrides: Sequence[str],
) -> int:
    """Compare two plans: steps by id, sizes, methods, claims, cost, tensors.

    \b
    growplan diff OLD NEW              two files (- is standard input)
    growplan diff PLAN                 a plan against HEAD
    growplan diff HEAD~1 -- PLAN       a plan against a revision
    growplan diff HEAD~1 [HEAD]        every plan that changed
    growplan diff HEAD~1:OLD NEW       a plan that was renamed

    Works without the sources (then as written: no claims, cost or tensors), and as git's
    external diff driver (7 arguments, 9 on a rename); see docs/cli.md.
    """
    from growplan.compare.diff import compare
    from growplan.views.diff import DiffReport, DiffsReport

    after = ctx.meta.get(_SPLIT)
    if after is not None and is_driver_call(after):
        return _drive(console, after)

    def report(pair: Pair) -> DiffReport:
        old, new = pair.sides(overrides)
        found = compare(old, new, model_dir=model_dir, family=family, tensors=not no_tensors)
        return DiffReport(found, console.verbose)

    reports = [report(pair) for pair in pairs(operands, after)]
    _show(console, reports[0] if len(reports) == 1 else DiffsReport(reports), form)
    return int(exit_code and any(r.diff.differs for r in reports))


def _show(console: Console, report: Any, form: str) -> None:
    if form == "md" and not console.as_json:
        console.raw(report.markdown())
    else:
        console.emit(report)


def _drive(console: Console, arguments: Sequence[str]) -> int:
    """Answer git: always exit 0, for any other code makes git give up on the whole diff."""
    from growplan.cli.driver import answer

    console.raw(answer(arguments))
    return 0
