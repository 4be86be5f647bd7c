"""The top-level sections of a family file, each read as what it should be.

`extends: NAME` inherits every section of a family that ships. Sections that are mappings merge
key by key and the file's own keys win; texts, lists, `layers` and `classes` are replaced. `drop` in
the place of a value takes a key, or a whole section, away. Every mistake stays placed in its own file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from growplan.diagnostics import Source, Span
from growplan.families.problems import Problems, close_to
from growplan.families.text import Text, Tree, builtin_families, read_source

REQUIRED = ("family", "config", "sizes", "layers", "modules", "embed", "block", "heads", "classes")
OPTIONAL = (
    "input",
    "extends",
    "defaults",
    "carried",
    "act",
    "window",
    "aliases",
    "equations",
    "constraints",
    "keeps",
    "closes",
    "outside",
    "copies",
    "buffers",
    "layer_lists",
    "experts",
    "upcycles",
    "dense",
)
OWN = ("family", "extends")  # never inherited
REPLACED = ("layers", "classes")  # mappings that are one whole
DROP = "drop"

Entry = tuple[Text, Any]  # key, value node


class Sections:
    """Access to the sections of one file; whatever has the wrong form is reported, and empty."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self.problems = problems
        self.source = source
        self.tree = Tree(source, problems)
        self.parent: Sections | None = None
        self._sections: Mapping[str, Entry] = {}
        self._read: dict[str, dict[str, Entry]] = {}

    def open(self) -> None:
        """Parse the file and what it extends; unknown and missing sections are reported (GP342)."""
        own = self.tree.mapping(self.tree.compose(), "the family file")
        known = (*REQUIRED, *OPTIONAL)
        for key, (text, _) in own.items():
            if key not in known:
                help = (*close_to(key, known), f"keys: {', '.join(known)}")
                self.problems.add("GP342", f"a family file has no key `{key[:60]}`", text.span, help=help)
        self._sections = own
        self.parent = self._extended()
        if self.parent is not None:
            base = {key: entry for key, entry in self.parent._sections.items() if key not in OWN}
            self._sections = self._merged(base, own)
        lost = self.parent is None and "extends" in own  # then nothing is known of what is inherited
        for key in REQUIRED:
            if key not in self._sections and not lost:
                way = f"add `{key}:`; `growplan/families/data/gpt2.yaml` has every section"
                self.problems.add("GP342", f"`{key}` is missing", Span(self.source, 0, 0), help=way)

    def _extended(self) -> Sections | None:
        """The sections of the family that this one extends; GP340 where there is none."""
        name = self.text("extends")
        if name is None:
            return None
        builtin = builtin_families()
        if name.value not in builtin or str(builtin[name.value]) == self.source.name:
            help = (*close_to(name.value, builtin), f"families that ship: {', '.join(builtin)}")
            self.problems.add(
                "GP340", f"there is no family `{name.value[:60]}` to extend", name.span, help=help
            )
            return None
        parent = Sections(read_source(builtin[name.value]), self.problems)
        parent.open()
        return parent

    def _merged(self, base: Mapping[str, Entry], own: Mapping[str, Entry]) -> dict[str, Entry]:
        """`base` with the entries of `own` in their place, new ones last, without what is dropped."""
        merged = {**base, **own}
        for key, (text, node) in own.items():
            if not _is_drop(node):
                continue
            del merged[key]
            if key not in base:
                help = (*close_to(key, base), "take the line away")
                self.problems.add("GP344", f"nothing named `{key[:60]}` is inherited", text.span, help=help)
        return merged

    def place(self, section: str) -> Span:
        """Where the section's key stands."""
        return self._sections[section][0].span

    def problem(self, code: str, message: str, at: Text | str, help: tuple[str, ...] | str) -> None:
        """Report a mistake at a text, or at the key of a section."""
        span = self.place(at) if isinstance(at, str) else at.span
        self.problems.add(code, message, span, help=help)

    def node(self, section: str) -> Any:
        """The section's YAML node, or None."""
        entry = self._sections.get(section)
        return entry[1] if entry else None

    def mapping(self, section: str) -> dict[str, Entry]:
        """key -> (key text, value node)."""
        if section not in self._read:
            self._read[section] = self._mapping(section)
        return self._read[section]

    def _mapping(self, section: str) -> dict[str, Entry]:
        node = self.node(section)
        if node is None:
            return {}
        above = None if self.parent is None else self.parent.node(section)
        if self.parent is not None and above is node:
            return self.parent.mapping(section)
        own = self.tree.mapping(node, f"`{section}`")
        if self.parent is None or section in REPLACED or not isinstance(above, yaml.MappingNode):
            return own
        return self._merged(self.parent.mapping(section), own)

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


def _is_drop(node: Any) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value == DROP
