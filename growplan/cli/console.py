"""Where a command's words go: results to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from growplan.views.style import PLAIN, Style, style_for, to_ascii

if TYPE_CHECKING:
    import click

    from growplan.diagnostics import Diagnostic
    from growplan.views.report import Report

INTERRUPTED = 130
PIPE_CLOSED = 141


@dataclass(frozen=True)
class Console:
    """The output side of one command, made from its `--json`, `-q`, `-v`, `--diagnostics`."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    diagnostics: str = "text"

    @property
    def style(self) -> Style:
        return style_for(sys.stdout) if sys.stdout is not None else PLAIN

    def emit(self, report: Report, *, ok: bool = True, human: bool = True) -> None:
        """Print a result: the JSON document, or text unless `-q`."""
        if self.as_json:
            from growplan.views.report import document

            _out(document(report.kind, report.data(), ok=ok))
        elif human and not self.quiet:
            _out(report.human(self.style))

    def raw(self, text: str) -> None:
        """Print text that is itself the result (a formatted plan, IR, a schema)."""
        _out(text.removesuffix("\n"))

    def note(self, text: str) -> None:
        """A remark beside the result, on stderr; silent under `-q`."""
        if not self.quiet:
            _err(text)

    def detail(self, text: str) -> None:
        """A remark that only `-v` asks for."""
        if self.verbose:
            _err(text)

    def diagnose(self, found: Sequence[Diagnostic], *, gap: bool = False) -> None:
        """Findings on stderr, in the chosen form; `-q` keeps the errors; `gap` leaves a line before."""
        from growplan.views import diagnostics as views

        shown = [d for d in found if d.severity == "error" or not self.quiet]
        if not shown:
            return
        if self.diagnostics == "json":
            import json

            text = "\n".join(json.dumps(views.to_data(d)) for d in views.in_order(shown))
        elif self.diagnostics == "github":
            text = views.render_github(shown)
        else:
            text = "\n" * gap + views.render_text(shown, _error_style()) + "\n"
        _err(text)

    def rejected(self, kind: str, found: Sequence[Diagnostic]) -> int:
        """The end of a command whose input has problems: findings, document, exit code 1."""
        from growplan.views.diagnostics import in_order, summary, to_data

        self.diagnose(found)
        if self.as_json:
            from growplan.views.report import document

            data = {"diagnostics": [to_data(d) for d in in_order(found)]}
            _out(document(kind, data, ok=False))
        elif self.diagnostics == "text":
            codes = sorted({d.code for d in found})
            more = f" (`growplan explain {codes[0]}` says more)" if codes else ""
            self.note(f"{summary(found)}{more}")
        return 1

    def usage_error(self, error: click.ClickException) -> int:
        """The end of a command that was called wrongly: message, exit code 2."""
        context = getattr(error, "ctx", None)
        if context is not None and not self.as_json:
            _err(context.get_usage())
        self.failed("usage", error.format_message())
        return 2

    def failed(self, kind: str, message: str) -> None:
        """An error that is not about a plan: on stderr, and as a document under `--json`."""
        _err(_error_style().paint("error", "bold", "red") + f": {message}")
        if self.as_json:
            from growplan.views.report import document

            data = {"error": {"kind": kind, "message": message}}
            _out(document("error", data, ok=False))


def internal_error(console: Console, error: Exception) -> int:
    """A fault of growplan itself: one line, and how to get the traceback. Exit code 2."""
    if os.environ.get("GROWPLAN_TRACEBACK"):
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    what = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    console.failed(
        "internal", f"internal error: {what}\n  set GROWPLAN_TRACEBACK=1 for the traceback, and report it"
    )
    return 2


class OutputFailed(Exception):
    """Standard output cannot be written to; nothing more goes there."""


def output_failed(error: OutputFailed) -> int:
    """The end of a command whose result could not be written: one line on stderr, exit code 2."""
    _err(f"{_error_style().paint('error', 'bold', 'red')}: cannot write the output: {error}")
    return 2


def flush_output() -> None:
    """Hand over what is left. Raises OutputFailed, BrokenPipeError."""
    if sys.stdout is not None:
        _guarded(sys.stdout.flush)


def drop(stream: IO[str]) -> None:
    """Let what is left in a stream that cannot be written to go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _out(text: str) -> None:
    """A line of the result. Raises OutputFailed, BrokenPipeError."""
    if sys.stdout is None:
        raise OutputFailed("standard output is closed")
    _guarded(lambda: _write(sys.stdout, text))


def _guarded(write: Callable[[], None]) -> None:
    try:
        write()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        drop(sys.stdout)
        raise OutputFailed(getattr(error, "strerror", None) or error) from error


def _err(text: str) -> None:
    """A line on stderr. One that cannot be written stops no command."""
    if sys.stderr is None:
        return
    try:
        _write(sys.stderr, text)
    except (OSError, ValueError):
        drop(sys.stderr)


def _error_style() -> Style:
    return style_for(sys.stderr) if sys.stderr is not None else PLAIN


def _write(stream: IO[str], text: str) -> None:
    """Print a line; arrows become ASCII where the stream cannot take them."""
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:
        stream.write(to_ascii(text) + "\n")
    stream.flush()
