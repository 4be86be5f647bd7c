"""Diagnostics as text, JSON and annotations, each against an exact rendering."""

from __future__ import annotations

from growplan.diagnostics import Diagnostic, Source, Span
from growplan.views.diagnostics import render_github, render_one, render_text, summary, to_data
from growplan.views.style import Style
from tests.conftest import Golden

PLAN = Source(
    "minilm.grow.yaml",
    "growplan: 1\nsource: ./minilm\nsteps:\n\n\n\n  - widen hidden 384→512 via bert2bert, expect exact\n",
)


def at(source: Source, words: str) -> Span:
    start = source.text.index(words)
    return Span(source, start, start + len(words))


EXAMPLE = Diagnostic(
    "GP204",
    "`bert2bert` cannot keep `hidden` 384→512 exact through LayerNorm",
    at(PLAN, "widen hidden 384→512 via bert2bert, expect exact"),
    (
        (
            "needs",
            "every unit copied equally often     "
            "(encoder.layer.0.attention.output.LayerNorm, family bert, post-norm)",
        ),
        ("found", "units 0:128 twice, 128:384 once"),
    ),
    (
        "widen to 768",
        "drop `expect exact` (published behaviour, approximate)",
        "`mask-in hidden 384→512`",
    ),
)


def test_the_example_of_the_design(golden: Golden) -> None:
    golden(render_one(EXAMPLE))


def test_places(golden: Golden) -> None:
    """Tabs, wide letters, several lines, the end of the text, an overlong line, no place."""
    tabs = Source("tabs.grow", "\twiden\thiden x2")
    wide = Source("wide.grow", "widen 隠れ x2")
    lines = Source("lines.grow", "widen ffn\n  to nothing\n")
    long = Source("long.grow", "widen ffn x2, note " + "a" * 300 + " oops " + "b" * 300)
    cases = [
        ("tabs", at(tabs, "hiden")),
        ("wide letters", at(wide, "隠れ")),
        ("several lines", at(lines, "ffn\n  to")),
        ("the end", Span(lines, 9, 9)),
        ("after the end", Span(lines, len(lines.text), len(lines.text))),
        ("overlong", at(long, "oops")),
        ("line 1234", Span(Source("x", "\n" * 1233 + "steps"), 1233, 1238)),
        ("nowhere", None),
    ]
    golden("\n\n".join(render_one(Diagnostic("GP101", name, span)) for name, span in cases))


def test_a_hostile_file_cannot_write_to_the_terminal() -> None:
    source = Source("evil\x1b[2J.grow", "widen \x1b]0;owned\x07 x2 \u202e")
    shown = render_one(
        Diagnostic("GP101", "bad \x1b[31m word", Span(source, 6, 12), (("a", "\x07"),), ("\x1b",))
    )
    assert "\x1b" not in shown and "\x07" not in shown and "\u202e" not in shown


def test_order_duplicates_and_the_limit() -> None:
    found = [
        Diagnostic("GP901", "lint", at(PLAN, "growplan"), severity="warning"),
        Diagnostic("GP102", "later", at(PLAN, "steps")),
        Diagnostic("GP101", "first", at(PLAN, "source")),
        Diagnostic("GP101", "first", at(PLAN, "source")),
    ]
    text = render_text(found)
    assert [line.split(": ")[1] for line in text.splitlines() if "[GP" in line] == ["first", "later", "lint"]
    assert summary(found) == "2 errors, 1 warning"
    many = [Diagnostic("GP101", f"m{i:02}") for i in range(23)]
    assert render_text(many).endswith("… and 3 more findings")


def test_colour_adds_nothing_but_colour() -> None:
    import re

    coloured = render_one(EXAMPLE, Style(color=True))
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render_one(EXAMPLE)


def test_data() -> None:
    data = to_data(EXAMPLE)
    assert data["place"] == {
        "file": "minilm.grow.yaml",
        "line": 7,
        "column": 5,
        "end_line": 7,
        "end_column": 53,
        "start": EXAMPLE.span.start if EXAMPLE.span else None,
        "end": EXAMPLE.span.end if EXAMPLE.span else None,
    }
    assert data["notes"][1] == {"label": "found", "text": "units 0:128 twice, 128:384 once"}
    assert to_data(Diagnostic("GP101", "x"))["place"] is None


def test_github() -> None:
    found = Diagnostic("GP101", "50% of\nlines", at(PLAN, "source"), help=("a", "b"))
    assert render_github([found]) == (
        "::error file=minilm.grow.yaml,line=2,col=1,title=growplan GP101::"
        "50%25 of%0Alines%0Ahelp: a%0Ahelp: b"
    )
