"""Collecting several findings, so that one run reports all of them."""

from __future__ import annotations

from collections.abc import Iterable

from growplan.diagnostics import Diagnostic, DiagnosticError, Span

LIMIT = 20


class Problems:
    """Findings so far; `stop` raises them together, in the order of the text."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def add(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        notes: Iterable[tuple[str, str]] = (),
        help: Iterable[str] | str = (),
    ) -> None:
        ways_out = (help,) if isinstance(help, str) else tuple(help)
        self.found.append(Diagnostic(code, message, span, tuple(notes), ways_out))

    def stop(self) -> None:
        """Raise a `DiagnosticError` with everything found (at most 20), or do nothing."""
        if self.found:
            ordered = sorted(self.found, key=lambda d: d.span.start if d.span else 1 << 62)
            raise DiagnosticError(*ordered[:LIMIT])


def close_to(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """`did you mean ...` lines for a word that is not known."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return tuple(f"did you mean `{match}`?" for match in near)


def listed(names: Iterable[str], limit: int = 6) -> str:
    """`a, b, c and 12 more`."""
    names = list(names)
    shown = ", ".join(f"`{name}`" for name in names[:limit])
    rest = len(names) - limit
    return f"{shown} and {rest} more" if rest > 0 else shown
