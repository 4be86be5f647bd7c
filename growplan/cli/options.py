"""The options every command has, and the ones several share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import cleandoc
from typing import Any

import click

from growplan.cli.console import PIPE_CLOSED, Console, OutputFailed, drop, internal_error, output_failed
from growplan.diagnostics import Diagnostic, DiagnosticError

Body = Callable[..., int | None]
OF_TORCH = ("torch", "transformers", "safetensors", "numpy")  # what the extra `torch` brings


def command(cls: type[click.Command] = click.Command) -> Callable[[Body], click.Command]:
    """A click command, named like its module, whose body gets `console` and may return an exit code.

    `DiagnosticError` ends as rendered findings and exit code 1, and so does a package of the extra
    `torch` that is not there (GP637); any other exception as a one-line internal error and exit code 2.
    """

    def make(body: Body) -> click.Command:
        def run(
            ctx: click.Context, as_json: bool, quiet: bool, verbose: bool, diagnostics: str, **given: Any
        ) -> None:
            console = Console(as_json, quiet, verbose, diagnostics)
            ctx.exit(_guarded(ctx, console, body, given))

        name = body.__module__.rpartition(".")[2].replace("_", "-")
        params = [*reversed(getattr(body, "__click_params__", ())), *_common()]
        return cls(name, callback=click.pass_context(run), params=params, help=cleandoc(body.__doc__ or ""))

    return make


def _common() -> list[click.Parameter]:
    """What every command takes."""
    return [
        click.Option(["--json", "as_json"], is_flag=True, help="One JSON document on stdout."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Errors only."),
        click.Option(["-v", "--verbose"], is_flag=True, help="More detail."),
        click.Option(
            ["--diagnostics"],
            type=click.Choice(["text", "json", "github"]),
            default="text",
            envvar="GROWPLAN_DIAGNOSTICS",
            help="Form of the findings on stderr.",
        ),
    ]


def _lacks(ctx: click.Context, package: str) -> Diagnostic:
    what = f"`{ctx.command_path}` needs `{package}`, which is not installed"
    return Diagnostic("GP637", what, help=("pip install 'growplan[torch]'",))


def _guarded(ctx: click.Context, console: Console, body: Body, given: dict[str, Any]) -> int:
    try:
        try:
            return body(console=console, **given) or 0
        except DiagnosticError as error:
            return console.rejected(ctx.info_name or "growplan", error.diagnostics)
        except ModuleNotFoundError as error:
            if error.name not in OF_TORCH:
                raise
            return console.rejected(ctx.info_name or "growplan", (_lacks(ctx, error.name),))
    except BrokenPipeError:  # before click, which would make it exit code 1
        drop(sys.stdout)
        return PIPE_CLOSED
    except OutputFailed as error:
        return output_failed(error)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        return internal_error(console, error)


plan_argument = click.argument("plan", metavar="PLAN")

set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a plan value: `seed=1`, `vars.x=2`, `ID.to=1024`. Repeatable.",
)
model_option = click.option(
    "--model", "model_dir", metavar="DIR", help="The source model; overrides the plan's `source`."
)
family_option = click.option(
    "--family", metavar="FILE", help="A family file of your own, or a built-in family's name."
)


def plan_options(body: Callable[..., Any]) -> Callable[..., Any]:
    """`--model`, `--family` and `--set`."""
    return model_option(family_option(set_option(body)))
