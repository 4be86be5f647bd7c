"""The names that a step's text gives to maps, and the keys it shortens."""

from __future__ import annotations

from collections.abc import Iterator

from growplan.algebra import Expansion
from growplan.ir.text import words

WIDTH = 100


class Names:
    """How one step spells its maps and keys; filled while its statements are printed."""

    def __init__(self, stream: Expansion | None, keys: str) -> None:
        self.stream, self.keys = stream, keys
        self.names: dict[Expansion, str] = {}

    def map(self, e: Expansion) -> str:
        """A map by name where it is the stream's, or long; else as it is."""
        if e == self.stream and not e.is_identity:
            return "stream"
        text = words.inline(e)
        if len(text) <= words.LONG:
            return text
        if e not in self.names:
            name = f"E{e.old}_{e.size}"
            twins = sum(given == name or given.startswith(name + "_") for given in self.names.values())
            self.names[e] = f"{name}_{twins + 1}" if twins else name
        return self.names[e]

    def key(self, key: str, tensor: str) -> str:
        """` key shares`, or the whole key where it is not of this step's form."""
        start = f"{self.keys}/{tensor}/"
        part = key[len(start) :] if self.keys and key.startswith(start) else ""
        return f" key {part}" if words.BARE.fullmatch(part) else f" key = {words.key(key, tensor)}"

    def definitions(self) -> Iterator[str]:
        """The lines that give maps their names."""
        for e, name in self.names.items():
            yield from wrapped(f"  map {name} = {words.inline(e)}")


def wrapped(line: str) -> Iterator[str]:
    """A long map on several lines, broken between its runs."""
    *pieces, last = line.split(", ")
    text = ""
    for piece in [f"{piece}," for piece in pieces] + [last]:
        if text and len(text) + len(piece) >= WIDTH:
            yield text
            text = "    " + piece
        else:
            text += " " * bool(text) + piece
    yield text
