"""Where each character of a YAML scalar's value stands in the file."""

from __future__ import annotations

from growplan.language.nodes import ScalarNode
from growplan.language.words import Text, Word

# Characters of `\x..` escapes after the letter.
HEX_DIGITS = {"x": 2, "u": 4, "U": 8}


def locate(node: ScalarNode) -> Text:
    """The value of a scalar with the place of every character.

    A plain or quoted scalar without escapes or line breaks is a verbatim slice. Otherwise value and
    source are walked side by side: what is not blank occurs in both in the same order.
    """
    raw, source, start = node.raw, node.span.source, node.span.start
    quotes = 1 if node.style in ("'", '"') else 0
    if raw[quotes : len(raw) - quotes] == node.text:
        return Text(node.text, source, start + quotes)
    at = quotes
    if node.style in ("|", ">"):
        at = len(raw.split("\n", 1)[0])
    starts: list[int] = []
    ends: list[int] = []
    for char in node.text:
        at, width = _find(raw, at, char, node.style)
        starts.append(start + at)
        at = min(at + width, len(raw))
        ends.append(start + at)
    return Text(node.text, source, start, starts, ends)


def _find(raw: str, at: int, char: str, style: str) -> tuple[int, int]:
    """Offset and width in `raw` of the spelling of the value's next character."""
    if style == '"' and not char.isspace():
        while raw.startswith(("\\\n", "\\\r"), at) or raw[at : at + 1].isspace():
            at += 2 if raw[at] == "\\" else 1
    elif not char.isspace():
        while raw[at : at + 1].isspace():
            at += 1
    if style == '"' and raw.startswith("\\", at):
        return at, 2 + HEX_DIGITS.get(raw[at + 1 : at + 2], 0)
    if style == "'" and char == "'":
        return at, 2
    if char.isspace() and not raw[at : at + 1].isspace():
        return at, 0
    return at, 1


def as_word(node: ScalarNode, text: Text | None = None) -> Word:
    """A scalar as one word."""
    text = text or locate(node)
    value = text.text.strip() if node.style in ("|", ">") else text.text
    return Word(value, node.span, quoted=bool(node.style))
