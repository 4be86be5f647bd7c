"""YAML text to nodes with offsets. Scalars stay text: YAML's resolver never sees them.

Refused here, with a place: tabs as indentation, tags, anchors and aliases, more than one document,
keys that are no words, keys that stand twice, and nesting that no plan needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from growplan.diagnostics import Source, Span
from growplan.language.draft import repeated
from growplan.language.errors import Errors
from growplan.language.words import Word

DEEPEST = 20
TAB = re.compile(r"^[ \t]*\t", re.MULTILINE)
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class ScalarNode:
    """A scalar; `style` is empty (plain), a quote, or `|` `>`."""

    span: Span
    text: str
    style: str

    @property
    def raw(self) -> str:
        return self.span.source.text[self.span.start : self.span.end]


@dataclass
class SequenceNode:
    """A list, in brackets (flow) or with dashes."""

    span: Span
    flow: bool
    items: list[Node] = field(default_factory=list)


@dataclass
class MappingNode:
    """Pairs in the order written; keys are words, each once."""

    span: Span
    flow: bool
    pairs: list[tuple[Word, Node]] = field(default_factory=list)


Node = ScalarNode | SequenceNode | MappingNode


class _Fatal(Exception):
    """The rest of the file cannot be read; the reason is among the errors."""


def read_nodes(source: Source, errors: Errors) -> Node | None:
    """The tree of a YAML document; None for an empty or a hopeless one (then with errors)."""
    tab = TAB.search(source.text)
    try:
        return _Reader(source, errors).document()
    except _Fatal:
        return None
    except yaml.YAMLError as error:
        if tab:
            span = Span(source, tab.end() - 1, tab.end())
            errors.add("GP006", "a tab in the indentation", span, help="indent with spaces")
        else:
            _syntax_error(source, error, errors)
        return None


def _syntax_error(source: Source, error: yaml.YAMLError, errors: Errors) -> None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or error)
    at = min(mark.index, len(source.text)) if mark else 0
    line = source.line(source.position(at)[0])
    help: tuple[str, ...] = ("a scalar that holds `: `, ` #`, `{` or `[` needs quotes",)
    if "${" in line and "{" in line.replace("${", ""):
        help = ('inside `{...}` a variable needs quotes: `to: "${width}"`',)
    context = getattr(error, "context", None)
    notes = (("yaml", str(context)),) if context else ()
    errors.add(
        "GP005",
        f"not YAML: {problem}",
        Span(source, at, min(at + 1, len(source.text))),
        notes=notes,
        help=help,
    )


class _Reader:
    """Builds nodes from libyaml's events, which carry tags, anchors and marks untouched."""

    def __init__(self, source: Source, errors: Errors) -> None:
        self.source = source
        self.errors = errors
        self.events: Iterator[Any] = iter(yaml.parse(source.text, Loader=LOADER))

    def document(self) -> Node | None:
        root: Node | None = None
        for count, event in enumerate(self._documents()):
            if count:
                span = self._span(event)
                self.errors.add("GP012", "a second YAML document", span, help="keep one plan to a file")
                raise _Fatal
            root = self._node(next(self.events), 0)
        return root

    def _documents(self) -> Iterator[Any]:
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                yield event

    def _span(self, event: Any) -> Span:
        return Span(self.source, event.start_mark.index, max(event.end_mark.index, event.start_mark.index))

    def _node(self, event: Any, depth: int) -> Node | None:
        """The node that begins with this event; None for an alias (reported)."""
        span = self._span(event)
        if depth > DEEPEST:
            self.errors.add(
                "GP005", "nested too deeply for a plan", span, help="a step is a line or a flat mapping"
            )
            raise _Fatal
        if event.anchor is not None:
            what = "an alias" if isinstance(event, yaml.AliasEvent) else "an anchor"
            help = "name the value in `vars:` and write `${name}` where it is needed"
            self.errors.add("GP011", f"{what}, `{event.anchor}`", self._mark(span), help=help)
        if isinstance(event, yaml.AliasEvent):
            return None
        if event.tag is not None:
            self.errors.add("GP010", f"a tag, `{event.tag}`", self._mark(span), help="write the plain value")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, span)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(span, bool(event.flow_style), depth)
        return self._mapping(span, bool(event.flow_style), depth)

    def _mark(self, span: Span) -> Span:
        """The `&name`, `*name` or `!tag` at the start of a node."""
        match = re.compile(r"\S+").match(self.source.text, span.start)
        return Span(self.source, span.start, match.end() if match else span.end)

    def _scalar(self, event: Any, span: Span) -> ScalarNode:
        style = event.style or ""
        if style in "|>" and style:
            raw = self.source.text[span.start : span.end]
            span = Span(self.source, span.start, span.start + len(raw.rstrip()))
        elif event.anchor is not None or event.tag is not None:
            text = self.source.text[span.start : span.end]
            properties = re.match(r"(?:[&!]\S*\s*)*", text)
            span = Span(self.source, span.start + (properties.end() if properties else 0), span.end)
        return ScalarNode(span, event.value, style)

    def _sequence(self, span: Span, flow: bool, depth: int) -> SequenceNode:
        node = SequenceNode(span, flow)
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            if item := self._node(event, depth + 1):
                node.items.append(item)
        node.span = self._closed(span, event, flow, [i.span.end for i in node.items])
        return node

    def _mapping(self, span: Span, flow: bool, depth: int) -> MappingNode:
        node = MappingNode(span, flow)
        first: dict[str, Word] = {}
        ends: list[int] = []
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self.events), depth + 1)
            ends += [n.span.end for n in (key, value) if n]
            if not isinstance(key, ScalarNode) or "\n" in key.text:
                where = key.span if key else span
                self.errors.add("GP013", "a key must be a word", where, help="write `key: value`")
                continue
            word = Word(key.text, key.span, quoted=bool(key.style))
            if word.text in first:
                repeated(word, first[word.text], self.errors)
                continue
            first[word.text] = word
            if value:
                node.pairs.append((word, value))
        node.span = self._closed(span, event, flow, ends)
        return node

    def _closed(self, span: Span, event: Any, flow: bool, ends: list[int]) -> Span:
        """A collection's range: to its bracket, or to the end of what it holds (not of the blanks after)."""
        end = event.end_mark.index if flow or not ends else max(ends)
        return Span(self.source, span.start, max(end, span.start))
