"""Reading `growir`: text to tree by lark, tree to graph here. Mistakes are diagnostics with spans."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from growplan.diagnostics import Source, Span, fail
from growplan.ir.graph import Graph
from growplan.ir.text.implied import FORM

if TYPE_CHECKING:
    from lark import Lark


def parse_ir(text: str, name: str = "<growir>") -> Graph:
    """The graph that `text` describes; the inverse of `print_ir`.

    Raises a `DiagnosticError`: GP250 (syntax), GP251 (not defined), GP252 (defined twice),
    GP256 (a primitive that does not fit its inputs), each with its place in the text.
    """
    from lark import UnexpectedInput

    from growplan.ir.text.reader import read_graph

    source = Source(name, text)
    try:
        tree = _grammar().parse(text)
    except UnexpectedInput as error:
        _fail_at(error, source)
    return read_graph(tree, source)


@cache
def _grammar() -> Lark:
    from lark import Lark

    text = next(path for path in _grammar_files() if path.exists()).read_text(encoding="utf-8")
    return Lark(text, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def _grammar_files() -> Iterator[Path]:
    """In a wheel beside the package's code, in a checkout at its root."""
    package = Path(__file__).parents[2]
    yield package / "_grammar" / "growir.lark"
    yield package.parent / "grammar" / "growir.lark"


def _fail_at(error: Any, source: Source) -> NoReturn:
    from lark import UnexpectedCharacters, UnexpectedToken

    expected: set[str] = set()
    start: int = getattr(error, "pos_in_stream", None) or 0
    found = source.text[start : start + 1]
    if isinstance(error, UnexpectedToken):
        found = str(error.token)
        start = start if found else len(source.text)
        expected = set(error.accepts or error.expected)
    elif isinstance(error, UnexpectedCharacters):
        expected = set(error.allowed or ())
    said = ", ".join(sorted(_spelling(terminal) for terminal in expected))
    fail(
        "GP250",
        f"`{found}` does not belong here" if found else "the text ends too early",
        Span(source, start, start + len(found)),
        notes=[("expected", said)] if said else (),
        help=FORM,
    )


def _spelling(terminal: str) -> str:
    """A terminal as a reader knows it: `law`, `{`, a name."""
    from lark.lexer import PatternStr

    if terminal == "$END":
        return "the end"
    pattern = _grammar().get_terminal(terminal).pattern
    return f"`{pattern.value}`" if isinstance(pattern, PatternStr) else terminal.lower()
