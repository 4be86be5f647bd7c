"""The `growplan` command group: finds commands, and turns what escapes them into exit codes.

Exit codes: 0 fine, 1 the input has a problem (or `diff --exit-code`, `fmt --check` found one),
2 usage or internal error, 130 interrupted, 141 the reader of our output went away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from growplan.cli.console import (
    INTERRUPTED,
    Console,
    OutputFailed,
    drop,
    flush_output,
    internal_error,
    output_failed,
)
from growplan.cli.ranks import as_one_of_several, beside_the_first

_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Commands(click.Group):
    """Commands by package scan; a command's module is imported when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from pkgutil import iter_modules

        from growplan.cli import commands

        return sorted(module.name.replace("_", "-") for module in iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from importlib import import_module
        from importlib.util import find_spec

        module = f"growplan.cli.commands.{cmd_name.replace('-', '_')}"
        if not cmd_name.replace("-", "").isidentifier() or find_spec(module) is None:
            return None
        command: click.Command = import_module(module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean `{close[0]}`?" if close else " See `growplan --help`."
            raise click.UsageError(error.message + hint, ctx) from None

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run and exit; every exception ends as a message and an exit code."""
        argv = kwargs.get("args", args[0] if args else None)
        argv = sys.argv[1:] if argv is None else list(argv)
        kwargs["standalone_mode"] = False
        console = Console(as_json="--json" in argv)
        with beside_the_first():
            try:
                code = self._run(console, *args, **kwargs)
            except OutputFailed as error:
                code = output_failed(error)
            sys.exit(code or 0)

    def _run(self, console: Console, *args: Any, **kwargs: Any) -> Any:
        """The exit code. Raises OutputFailed."""
        try:
            code = super().main(*args, **kwargs)
            flush_output()
        except click.ClickException as error:
            return console.usage_error(error)
        except (click.Abort, KeyboardInterrupt):
            console.note("interrupted")
            return INTERRUPTED
        except OutputFailed:
            raise
        except OSError as error:  # of click's own output, `--help` and the like; commands handle theirs
            drop(sys.stdout)
            raise OutputFailed(error.strerror or error) from error
        except Exception as error:
            return internal_error(console, error)
        return code


@click.group(cls=Commands, context_settings=_HELP, invoke_without_command=True)
@click.version_option(package_name="growplan", message="growplan %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Grow transformer checkpoints by a plan that is checked, proved and diffed like code.

    \b
    growplan check plan.grow.yaml              what the plan does, and the proof
    growplan apply plan.grow.yaml --out DIR    write the grown checkpoint
    growplan train plan.grow.yaml              grow and train, by a plan with stages
    growplan diff old.grow.yaml new.grow.yaml  what changed between two plans

    Exit codes: 0 fine, 1 the input has a problem, 2 usage or internal error.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(2)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the `growplan` script."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for plugins costs 10 ms
    with as_one_of_several():
        cli.main(args=None if argv is None else list(argv), prog_name="growplan")
    raise AssertionError("click returned")
