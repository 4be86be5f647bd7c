"""Diagnostics as text with a caret, as JSON, and as GitHub annotations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from growplan.diagnostics import Diagnostic, Span
from growplan.views.numbers import plural
from growplan.views.style import PLAIN, Style, printable, width

LIMIT = 20  # diagnostics shown of one run
_COLUMNS = 120  # longest source excerpt
_COLOR = {"error": "red", "warning": "yellow", "note": "cyan"}
_RANK = {"error": 0, "warning": 1, "note": 2}


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Sorted by severity, then place; repeated findings once."""
    unique = dict.fromkeys(diagnostics)
    return sorted(unique, key=lambda d: (_RANK[d.severity], *_place(d.span), d.code, d.message))


def _place(span: Span | None) -> tuple[str, int]:
    return ("", -1) if span is None else (span.source.name, span.start)


# text ----------------------------------------------------------------------------------------------


def render_text(diagnostics: Iterable[Diagnostic], style: Style = PLAIN, limit: int = LIMIT) -> str:
    """All findings, a blank line between them, and what was left out."""
    found = in_order(diagnostics)
    blocks = [render_one(d, style) for d in found[:limit]]
    if len(found) > limit:
        blocks.append(f"… and {plural(len(found) - limit, 'more finding')}")
    return "\n\n".join(blocks)


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """`2 errors, 1 warning`."""
    found = list(dict.fromkeys(diagnostics))
    counts = [(sum(d.severity == name for d in found), name) for name in _RANK]
    return ", ".join(plural(n, name) for n, name in counts if n)


def render_one(d: Diagnostic, style: Style = PLAIN) -> str:
    """One finding: headline, place, excerpt with a caret, facts, ways out."""
    color = _COLOR[d.severity]
    headline = style.paint(f"{d.severity}[{d.code}]", "bold", color)
    lines = [f"{headline}: {style.bold(printable(d.message))}"]
    gutter = 2
    if d.span is not None:
        gutter = len(str(d.span.line)) + 1
        lines.append(" " * gutter + style.paint("--> ", "blue") + printable(str(d.span)))
        lines += _excerpt(d.span, gutter, color, style)
    lines += [
        " " * (gutter + 1) + style.paint("= ", "blue") + f"{label}: {printable(text)}"
        for label, text in d.notes
    ]
    lines += [" " * (gutter + 1) + style.paint("help: ", "cyan") + way for way in _ways_out(d)]
    return "\n".join(lines)


def _ways_out(d: Diagnostic) -> list[str]:
    return [printable(text.removeprefix("or ")) for text in d.help]


def _excerpt(span: Span, gutter: int, color: str, style: Style) -> list[str]:
    text = span.source.line(span.line)
    if not text.strip():
        return []
    first = span.column - 1
    last = min(len(text), first + max(1, span.end - span.start))
    text, first, last = _clipped(text, first, last)
    # what stands before the caret keeps its tabs, so that the caret stays below its word
    lead = "".join("\t" if ch == "\t" else " " * width(printable(ch)) for ch in text[:first])
    marks = "^" * max(1, width(printable(text[first:last])))
    bar = style.paint("|", "blue")
    number = style.paint(f"{span.line:>{gutter}}", "blue")
    return [
        " " * (gutter + 1) + bar,
        f"{number} {bar} {printable(text)}",
        " " * (gutter + 1) + f"{bar} {lead}{style.paint(marks, color)}",
    ]


def _clipped(text: str, first: int, last: int) -> tuple[str, int, int]:
    """A window of an overlong line around the caret."""
    if len(text) <= _COLUMNS:
        return text, first, last
    start = max(0, min(first - 20, len(text) - _COLUMNS))
    last = min(last, start + _COLUMNS)
    head, tail = "…" * (start > 0), "…" * (start + _COLUMNS < len(text))
    window = head + text[start : start + _COLUMNS] + tail
    return window, first - start + len(head), last - start + len(head)


# JSON ------------------------------------------------------------------------------------------------


def to_data(d: Diagnostic) -> dict[str, Any]:
    """One finding as plain values; lines and columns count from 1, offsets from 0."""
    place = None
    if d.span is not None:
        end_line, end_column = d.span.source.position(d.span.end)
        place = {
            "file": d.span.source.name,
            "line": d.span.line,
            "column": d.span.column,
            "end_line": end_line,
            "end_column": end_column,
            "start": d.span.start,
            "end": d.span.end,
        }
    return {
        "code": d.code,
        "severity": d.severity,
        "message": d.message,
        "place": place,
        "notes": [{"label": label, "text": text} for label, text in d.notes],
        "help": list(d.help),
    }


# GitHub ----------------------------------------------------------------------------------------------

_GITHUB = {"error": "error", "warning": "warning", "note": "notice"}


def render_github(diagnostics: Sequence[Diagnostic]) -> str:
    """Workflow commands that GitHub shows at the lines of a pull request."""
    return "\n".join(_annotation(d) for d in in_order(diagnostics))


def _annotation(d: Diagnostic) -> str:
    where = ""
    if d.span is not None:
        file = _escaped(d.span.source.name, ":,")
        where = f"file={file},line={d.span.line},col={d.span.column},"
    body = [d.message, *(f"{label}: {text}" for label, text in d.notes)]
    body += [f"help: {way}" for way in _ways_out(d)]
    text = _escaped(printable("\n".join(body)))
    return f"::{_GITHUB[d.severity]} {where}title=growplan {d.code}::{text}"


def _escaped(text: str, more: str = "") -> str:
    for ch in "%\r\n" + more:
        text = text.replace(ch, f"%{ord(ch):02X}")
    return text
