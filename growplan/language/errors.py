"""Collecting every error of a plan before giving up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType

from growplan.diagnostics import Diagnostic, DiagnosticError, Span

LIMIT = 20


class Errors:
    """Errors found so far. `with errors:` raises them all at the end of the block.

    A DiagnosticError that escapes the block is added to the rest first.
    """

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def add(
        self,
        code: str,
        message: str,
        span: Span | None,
        *,
        notes: Iterable[tuple[str, str]] = (),
        help: Iterable[str] | str = (),
    ) -> None:
        ways_out = (help,) if isinstance(help, str) else tuple(help)
        self.found.append(Diagnostic(code, message, span, tuple(notes), ways_out))

    def sorted(self) -> list[Diagnostic]:
        """By file in the order first seen, then by place; at most 20, the last saying what it hides."""
        files: dict[str, int] = {}
        for diagnostic in self.found:
            if diagnostic.span:
                files.setdefault(diagnostic.span.source.name, len(files))

        def key(d: Diagnostic) -> tuple[int, int, int]:
            return (files[d.span.source.name], d.span.start, d.span.end) if d.span else (-1, 0, 0)

        unique = sorted(dict.fromkeys(self.found), key=key)
        shown, hidden = unique[:LIMIT], len(unique) - LIMIT
        if hidden > 0:
            note = ("more", f"{hidden} further error{'s' * (hidden > 1)} not shown")
            shown[-1] = replace(shown[-1], notes=(*shown[-1].notes, note))
        return shown

    def raise_any(self) -> None:
        if self.found:
            raise DiagnosticError(*self.sorted())

    def __enter__(self) -> Errors:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.raise_any()
        elif isinstance(error, DiagnosticError):
            self.found.extend(error.diagnostics)
            raise DiagnosticError(*self.sorted()) from None
