"""Colour for terminals and nothing else: the text is the same with and without it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import IO, Any

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}


@dataclass(frozen=True)
class Style:
    """How text is dressed. `Style()` is plain, what pipes and files get.

    `ascii` replaces the few symbols outside ASCII, for terminals that cannot show them; `columns`
    is what a list may take of a line.
    """

    color: bool = False
    ascii: bool = False
    columns: int = 100

    def paint(self, text: str, *names: str) -> str:
        """`text` in the named colours (`bold`, `dim`, `red`, ...)."""
        if not self.color or not text:
            return text
        codes = ";".join(_CODES[name] for name in names)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def bold(self, text: str) -> str:
        return self.paint(text, "bold")

    def dim(self, text: str) -> str:
        return self.paint(text, "dim")

    def strength(self, strength: str) -> str:
        """A claim's word in its colour: green exact, yellow approximate, dim none."""
        names = {"exact": ("green",), "approximate": ("yellow",)}
        return self.paint(strength, *names.get(strength.split(" ")[0], ("dim",)))


PLAIN = Style()


def style_for(stream: IO[Any], env: Mapping[str, str] | None = None) -> Style:
    """The style of an output stream: colour on a terminal only, never with NO_COLOR set."""
    env = os.environ if env is None else env
    terminal = stream.isatty()
    color = terminal and not env.get("NO_COLOR") and env.get("TERM") != "dumb"
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower()
    columns = min(Style.columns, get_terminal_size().columns) if terminal else Style.columns
    return Style(color, not encoding.startswith("utf"), max(60, columns))


_ASCII = {"→": "->", "·": "*", "×": "x", "…": "...", "−": "-"}


def to_ascii(text: str) -> str:
    """The same text for a stream that cannot encode arrows and dots."""
    for symbol, plain in _ASCII.items():
        text = text.replace(symbol, plain)
    return text.encode("ascii", "replace").decode("ascii")


def printable(text: str) -> str:
    """Text from a file made safe for a terminal: control characters become visible escapes."""
    if text.isprintable():
        return text
    return "".join(ch if ch.isprintable() or ch in "\t\n" else ascii(ch)[1:-1] for ch in text)


def width(text: str) -> int:
    """Columns that plain text takes on a terminal (wide East Asian letters take two)."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(ch) else 2 if east_asian_width(ch) in "WF" else 1 for ch in text)
