"""Literate tests: every plan in negative/*.md has exactly the errors that its comments name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text

BLOCK = re.compile(
    r"^## (?P<title>.+?)\n.*?^```(?P<syntax>grow|yaml)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)
ERROR = re.compile(r'# error: (\d+) \[(GP\d{3})\] "((?:\\.|[^"\\])*)"(?:\s+# help: "((?:\\.|[^"\\])*)")?')
FILES = sorted((Path(__file__).parent / "negative").glob("*.md"))
BLOCKS = [
    pytest.param(m["syntax"], m["text"], id=f"{path.stem}: {m['title']}")
    for path in FILES
    for m in BLOCK.finditer(path.read_text(encoding="utf-8"))
]


def plain(text: str | None) -> str:
    return (text or "").replace('\\"', '"')


@pytest.mark.parametrize(("syntax", "text"), BLOCKS)
def test_block(syntax: str, text: str) -> None:
    expected = [
        (number, int(m[1]), m[2], plain(m[3]), plain(m[4]))
        for number, line in enumerate(text.splitlines(), 1)
        for m in ERROR.finditer(line)
    ]
    assert text.count("# error:") == len(expected) > 0, "a comment that is not read"
    with pytest.raises(DiagnosticError) as caught:
        parse_text(text, "plan", "dsl" if syntax == "grow" else "yaml")
    found = caught.value.diagnostics
    assert [(d.span.line, d.span.column, d.code) for d in found if d.span] == [e[:3] for e in expected]
    for diagnostic, (_, _, _, message, help) in zip(found, expected, strict=True):
        assert message in diagnostic.message
        assert any(help in line for line in diagnostic.help) or not help


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == sum(path.read_text(encoding="utf-8").count("\n## ") for path in FILES) >= 9
