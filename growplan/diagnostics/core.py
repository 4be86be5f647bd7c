"""Source text, spans and diagnostics: errors are values, rendered elsewhere.

Nothing here prints. `growplan.views.diagnostics` renders a `Diagnostic` as text,
JSON or GitHub annotations.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NoReturn

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Source:
    """A named piece of text (a plan file, a config, `<command line>`)."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0] + [i + 1 for i, ch in enumerate(self.text) if ch == "\n"]

    def position(self, offset: int) -> tuple[int, int]:
        """1-based (line, column) of a character offset; offsets past the end clamp."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a 1-based line, without its newline."""
        start = self._line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : len(self.text) if end < 0 else end].rstrip("\r")


@dataclass(frozen=True)
class Span:
    """Half-open character range of a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Diagnostic:
    """One finding: what is wrong, where, and what to do.

    `code` is a key of `growplan.diagnostics.codes.CODES`. `notes` are labelled
    facts (`("needs", "every unit copied equally often")`), `help` the ways out. `part` names the
    option or the axis of a step that it is about, where the one who finds it knows no places.
    """

    code: str
    message: str
    span: Span | None = None
    notes: tuple[tuple[str, str], ...] = ()
    help: tuple[str, ...] = ()
    severity: Severity = "error"
    part: str = ""

    def at(self, span: Span | None) -> Diagnostic:
        """The same diagnostic, placed at `span` unless it already has a place."""
        if self.span is not None or span is None:
            return self
        return replace(self, span=span)


class DiagnosticError(Exception):
    """Carries the diagnostics that stop a compile; every layer may raise it.

    `partial` is what could be made in spite of them, where a later stage can still find
    mistakes in it (the steps of a plan that did parse).
    """

    def __init__(self, *diagnostics: Diagnostic, partial: object = None) -> None:
        self.diagnostics = diagnostics
        self.partial = partial
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in diagnostics))


def fail(
    code: str,
    message: str,
    span: Span | None = None,
    *,
    notes: Iterable[tuple[str, str]] = (),
    help: Iterable[str] | str = (),
    part: str = "",
) -> NoReturn:
    """Raise a `DiagnosticError` with one error."""
    ways_out = (help,) if isinstance(help, str) else tuple(help)
    raise DiagnosticError(Diagnostic(code, message, span, tuple(notes), ways_out, part=part))
