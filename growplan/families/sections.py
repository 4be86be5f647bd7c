"""The top-level sections of a family file, each read as what it should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from growplan.diagnostics import Source, Span
from growplan.families.problems import Problems, close_to
from growplan.families.text import Text, Tree

REQUIRED = ("family", "config", "sizes", "layers", "modules", "embed", "block", "heads", "classes")
OPTIONAL = (
    "input",
    "defaults",
    "carried",
    "act",
    "aliases",
    "equations",
    "constraints",
    "keeps",
    "closes",
    "outside",
    "copies",
    "buffers",
    "layer_lists",
)


class Sections:
    """Access to the sections of one file; whatever has the wrong form is reported, and empty."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self.problems = problems
        self.source = source
        self.tree = Tree(source, problems)
        self._sections: Mapping[str, tuple[Text, Any]] = {}
        self._read: dict[str, dict[str, tuple[Text, Any]]] = {}

    def open(self) -> None:
        """Parse the file; unknown and missing sections are reported (GP342)."""
        self._sections = self.tree.mapping(self.tree.compose(), "the family file")
        known = (*REQUIRED, *OPTIONAL)
        for key, (text, _) in self._sections.items():
            if key not in known:
                help = (*close_to(key, known), f"keys: {', '.join(known)}")
                self.problems.add("GP342", f"a family file has no key `{key[:60]}`", text.span, help=help)
        for key in REQUIRED:
            if key not in self._sections:
                way = f"add `{key}:`; `growplan/families/data/gpt2.yaml` has every section"
                self.problems.add("GP342", f"`{key}` is missing", Span(self.source, 0, 0), help=way)

    def place(self, section: str) -> Span:
        """Where the section's key stands."""
        return self._sections[section][0].span

    def node(self, section: str) -> Any:
        """The section's YAML node, or None."""
        entry = self._sections.get(section)
        return entry[1] if entry else None

    def mapping(self, section: str) -> dict[str, tuple[Text, Any]]:
        """key -> (key text, value node)."""
        node = self.node(section)
        if node is None:
            return {}
        if section not in self._read:
            self._read[section] = self.tree.mapping(node, f"`{section}`")
        return self._read[section]

    def lines(self, section: str) -> Iterator[tuple[Text, Text]]:
        """(key, value) of a mapping of scalars."""
        for key, (name, node) in self.mapping(section).items():
            text = self.tree.text(node, f"`{section}.{key}`")
            if text is not None:
                yield name, text

    def scalars(self, section: str) -> dict[str, Any]:
        """A mapping of scalars as values."""
        return {name.value: text.typed() for name, text in self.lines(section)}

    def texts(self, section: str) -> list[Text]:
        """A list of scalars, or one scalar."""
        node = self.node(section)
        return self.tree.texts(node, f"`{section}`") if node is not None else []

    def words(self, section: str) -> tuple[str, ...]:
        """The scalars of `texts` as strings."""
        return tuple(text.value for text in self.texts(section))

    def text(self, section: str) -> Text | None:
        """A section that is one scalar."""
        node = self.node(section)
        return self.tree.text(node, f"`{section}`") if node is not None else None
