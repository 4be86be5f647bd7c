"""Formatting a plan that is written in YAML."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Sequence

from growplan.diagnostics import Source, Span
from growplan.language.build_stages import check_drafts
from growplan.language.comments import Comment, Piece, attach, render
from growplan.language.draft import StepDraft
from growplan.language.dsl import split
from growplan.language.errors import Errors
from growplan.language.located import as_word, locate
from growplan.language.nodes import MappingNode, Node, ScalarNode, SequenceNode, read_nodes
from growplan.language.printing import bare, draft_text, word_text
from growplan.language.variables import REFERENCE, Variables
from growplan.language.words import HEADERS, Word
from growplan.language.yamlplan import read_vars, read_yaml, to_plain
from growplan.language.yamlsteps import labelled_line, read_step

WIDTH = 100
HASH = re.compile(r"(?<!\S)#")
UNSAFE_FIRST = re.compile(r"[-?:](?:\s|$)|[,\[\]{}#&*!|>'\"%@`]")
UNSAFE = re.compile(r":(?:\s|$)|\s#|[\n\t]|\A\s|\s\Z|\A\Z|\A(?:---|\.\.\.)")


def plain_safe(text: str, flow: bool = False) -> bool:
    """Whether YAML reads this text, without quotes, as one scalar."""
    if UNSAFE.search(text) or UNSAFE_FIRST.match(text):
        return False
    return not (flow and re.search(r"[,\[\]{}]", text))


def double_quoted(text: str) -> str:
    """The text in YAML's double quotes."""
    return json.dumps(text, ensure_ascii=False)


def yaml_scalar(word: Word, flow: bool = False) -> str:
    """A value as YAML: plain where that is read back as the same, else in double quotes."""
    keeps_quotes = word.quoted and not _only_reference(word.text) and (
        "${" in word.text or not (bare(word.text) or " " in word.text)
    )  # fmt: skip
    if keeps_quotes or not plain_safe(word.text, flow):
        return double_quoted(word.text)
    return word.text


def quoted_line(line: str) -> str:
    """A DSL line as an item of `steps:`."""
    label, colon, rest = line.partition(": ")
    if colon and re.fullmatch(r"[A-Za-z_][\w-]*", label):
        return f"{label}: {_line_scalar(rest)}"
    return _line_scalar(line)


def _line_scalar(line: str) -> str:
    return line if plain_safe(line) else "'" + line.replace("'", "''") + "'"


def _only_reference(text: str) -> bool:
    found = REFERENCE.fullmatch(text)
    return found is not None and not found[1]


class YamlFormatter:
    """One YAML plan on its way to formatted text."""

    def __init__(self, source: Source, errors: Errors) -> None:
        self.source = source
        self.errors = errors
        self.as_written = Variables(None)

    def format(self, target: str) -> str:
        """The plan in `target` syntax. Errors are raised before anything is printed."""
        root = read_nodes(self.source, self.errors)
        read_vars(root, self.errors)
        draft = read_yaml(self.source, root, self.as_written, self.errors)
        check_drafts(draft, self.errors)
        self.errors.raise_any()
        if not isinstance(root, MappingNode):
            return ""
        if target == "dsl":
            self._refuse_for_dsl(root)
        pieces = self._dsl(root) if target == "dsl" else self._yaml(root)
        footer = attach(self.source, pieces, self._comments(root, target))
        return render(pieces, footer)

    def _refuse_for_dsl(self, root: MappingNode) -> None:
        for key, _ in root.pairs:
            if key.text == "vars" or key.text.startswith("x-"):
                help = "keep this plan in YAML, or remove the key"
                self.errors.add("GP040", f"the DSL has no `{key.text}`", key.span, help=help)
        if not self.errors.found:
            for start, end in _scalar_ranges(root):
                for found in REFERENCE.finditer(self.source.text, start, end):
                    if not found[1]:
                        span = Span(self.source, *found.span())
                        self.errors.add("GP040", "the DSL has no `${...}`", span, help="write the value out")
        self.errors.raise_any()

    def _dsl(self, root: MappingNode) -> list[Piece]:
        unescaped = Variables({})  # `$${` is `${` in the DSL
        pieces: list[Piece] = []
        for key, value in root.pairs:
            if key.text == "steps" and isinstance(value, SequenceNode):
                pieces.append(Piece(key.span.start, key.span.end, []))
                for node in value.items:
                    step = read_step(node, unescaped, self.errors)
                    assert step is not None
                    pieces.append(Piece(node.span.start, node.span.end, [draft_text(step)]))
            elif key.text in HEADERS and isinstance(value, ScalarNode):
                word = unescaped.word(value, self.errors)
                lines = [f"{key.text} {word_text(word)}"] if word and key.text != "growplan" else []
                pieces.append(Piece(key.span.start, value.span.end, lines))
        return pieces

    def _yaml(self, root: MappingNode) -> list[Piece]:
        pieces: list[Piece] = []
        for key, value in root.pairs:
            empty = " {}" if key.text == "vars" and isinstance(value, MappingNode) and not value.pairs else ""
            head = Piece(key.span.start, key.span.end, [f"{key.text}:{empty}"])
            if key.text == "steps" and isinstance(value, SequenceNode):
                pieces.append(head)
                for node in value.items:
                    pieces += self._step(node)
            elif key.text == "vars" and isinstance(value, MappingNode):
                pieces.append(head)
                for name, word in value.pairs:
                    assert isinstance(word, ScalarNode)
                    line = f"{name.text}: {yaml_scalar(as_word(word))}"
                    pieces.append(Piece(name.span.start, word.span.end, [line], "  "))
            elif key.text in HEADERS and isinstance(value, ScalarNode):
                line = f"{key.text}: {yaml_scalar(as_word(value))}"
                pieces.append(Piece(key.span.start, value.span.end, [line]))
            else:
                pieces.append(Piece(key.span.start, value.span.end, self._own(root, key, value)))
        return pieces

    def _own(self, root: MappingNode, key: Word, value: Node) -> list[str]:
        """A key of the user's own, verbatim."""
        if root.flow:
            return [f"{key.text}: {json.dumps(to_plain(value, self.errors), ensure_ascii=False)}"]
        lines = self.source.text[key.span.start : value.span.end].split("\n")
        return [line.rstrip() for line in lines]

    def _step(self, node: Node) -> list[Piece]:
        start, end = node.span.start, node.span.end
        if not isinstance(node, MappingNode) or labelled_line(node):
            return [Piece(start, end, ["- " + self._line(node)], "  ")]
        pairs = [(key, f"{key.text}: {self._value(value, node.flow)}", value) for key, value in node.pairs]
        whole = "- {" + ", ".join(text for _, text, _ in pairs) + "}"
        if node.flow and len(whole) + 2 <= WIDTH:
            return [Piece(start, end, [whole], "  ")]
        dashed = ["- " + pairs[0][1], *("  " + text for _, text, _ in pairs[1:])]
        if node.flow:
            return [Piece(start, end, dashed, "  ")]
        pieces = [
            Piece(k.span.start, v.span.end, [t], "  ") for (k, _, v), t in zip(pairs, dashed, strict=True)
        ]
        for piece in pieces[1:]:
            piece.lines, piece.indent = [piece.lines[0][2:]], "    "
        return pieces

    def _value(self, node: Node, flow: bool) -> str:
        if isinstance(node, MappingNode):
            return (
                "{" + ", ".join(f"{key.text}: {self._value(value, True)}" for key, value in node.pairs) + "}"
            )
        assert isinstance(node, ScalarNode)
        return yaml_scalar(as_word(node), flow)

    def _line(self, node: Node) -> str:
        """A DSL line; one with `${name}` in it keeps its words as they are."""
        label, scalar = "", node
        if isinstance(node, MappingNode):
            key, scalar = labelled_line(node) or node.pairs[0]
            label = f"{key.text}: "
        assert isinstance(scalar, ScalarNode)
        if "${" in scalar.text:
            start, end = split(locate(scalar), self.errors).statements[0]
            return label + _line_scalar(" ".join(scalar.text[start:end].split()))
        step = read_step(node, self.as_written, self.errors)
        assert isinstance(step, StepDraft)
        return quoted_line(draft_text(step))

    def _comments(self, root: MappingNode, target: str) -> list[Comment]:
        """Every comment outside scalars, and those inside DSL lines in quotes or blocks."""
        text = self.source.text
        ranges: list[tuple[int, int]] = []
        for key, value in root.pairs:
            verbatim = target == "yaml" and key.text.startswith("x-")
            ranges.append((key.span.start, value.span.end if verbatim else key.span.end))
            ranges += [] if verbatim else _scalar_ranges(value)
        comments: list[Comment] = []
        end = 0  # of the comment before: a second `#` is part of it
        for mark in HASH.finditer(text):
            at = mark.start()
            if at >= end and not _inside(at, ranges):
                line = text[at:].partition("\n")[0]
                comments.append(Comment(at, line.rstrip()))
                end = at + len(line)
        for key, value in root.pairs:
            if key.text == "steps" and isinstance(value, SequenceNode):
                comments += [comment for node in value.items for comment in self._inner(node)]
        return sorted(comments, key=lambda comment: comment.start)

    def _inner(self, node: Node) -> list[Comment]:
        label = labelled_line(node) if isinstance(node, MappingNode) else None
        scalar = label[1] if label else node
        if not isinstance(scalar, ScalarNode):
            return []
        text = locate(scalar)
        found = [Comment(text.span(s, e).start, text.text[s:e]) for s, e in split(text, Errors()).comments]
        header = scalar.raw.split("\n", 1)[0] if scalar.style in ("|", ">") else ""
        if mark := HASH.search(header):
            found.append(Comment(scalar.span.start + mark.start(), header[mark.start() :].rstrip()))
        return found


def _inside(at: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether a place is in one of these ranges, which are sorted and apart."""
    before = bisect_right(ranges, at, key=lambda span: span[0])
    return before > 0 and ranges[before - 1][0] <= at < ranges[before - 1][1]


def _scalar_ranges(node: Node) -> list[tuple[int, int]]:
    if isinstance(node, ScalarNode):
        return [(node.span.start, node.span.end)]
    if isinstance(node, SequenceNode):
        return [r for item in node.items for r in _scalar_ranges(item)]
    return [r for key, v in node.pairs for r in [(key.span.start, key.span.end), *_scalar_ranges(v)]]
