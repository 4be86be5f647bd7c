"""Formatting a plan that is written in YAML."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

from growplan.diagnostics import Source, Span
from growplan.language.build_stages import check_drafts
from growplan.language.comments import Comment, Piece, attach, render, settle
from growplan.language.draft import StepDraft
from growplan.language.dsl import split
from growplan.language.errors import Errors
from growplan.language.fmt_words import WIDTH, flow_or_block, line_scalar, quoted_line, yaml_scalar
from growplan.language.located import as_word, locate
from growplan.language.nodes import MappingNode, Node, ScalarNode, SequenceNode, read_nodes
from growplan.language.printing import draft_text, parts_draft_text, training_draft_text, word_text
from growplan.language.variables import REFERENCE, Variables
from growplan.language.words import HEADERS, PARTS, Word
from growplan.language.yamlplan import read_vars, read_yaml, to_plain
from growplan.language.yamlstages import read_parts, read_train
from growplan.language.yamlsteps import labelled_line, read_step

SPACED = ("for", *PARTS)  # keys of a stage whose values are words with one blank between them
HASH = re.compile(r"(?<!\S)#")


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
        settle(pieces, footer)
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
        staged = any(key.text == "stages" for key, _ in root.pairs)
        unescaped = Variables({})  # `$${` is `${` in the DSL
        pieces: list[Piece] = []
        for key, value in root.pairs:
            lines: list[str] = []
            rank = 1 if key.text == "train" else 0
            if key.text == "steps" and isinstance(value, SequenceNode):
                pieces += [Piece(key.span.start, key.span.end, []), *self._dsl_steps(value)]
                continue
            if key.text == "stages" and isinstance(value, SequenceNode):
                pieces.append(Piece(key.span.start, key.span.end, [], rank=(2,)))
                for number, node in enumerate(value.items):
                    pieces += self._dsl_stage(node, number)
                continue
            if key.text == "train":
                lines = [training_draft_text(read_train(key, value, unescaped, self.errors))]
            elif key.text in HEADERS and isinstance(value, ScalarNode):
                word = unescaped.word(value, self.errors)
                lines = [f"{key.text} {word_text(word)}"] if word and key.text != "growplan" else []
            ranked = (rank,) if staged else ()
            pieces.append(Piece(key.span.start, value.span.end, lines, rank=ranked))
        return pieces

    def _dsl_steps(self, node: SequenceNode, rank: tuple[int, ...] = ()) -> list[Piece]:
        steps = [(item, read_step(item, Variables({}), self.errors)) for item in node.items]
        return [
            Piece(item.span.start, item.span.end, [draft_text(step)], rank=rank)
            for item, step in steps
            if step is not None
        ]

    def _dsl_stage(self, node: Node, number: int) -> list[Piece]:
        """`stage NAME`, its steps, then the rest, each a piece where its key stands."""
        assert isinstance(node, MappingNode)
        unescaped = Variables({})
        pieces: list[Piece] = []
        for key, value in node.pairs:
            place = (key.span.start, value.span.end)
            if key.text == "steps":
                pieces.append(Piece(key.span.start, key.span.end, [], rank=(2, number, 1)))
                pieces += self._dsl_steps(value, (2, number, 1)) if isinstance(value, SequenceNode) else []
            elif key.text == "name" and isinstance(value, ScalarNode):
                word = unescaped.word(value, self.errors)
                line = f"stage {word.text if word else ''}"
                pieces.append(Piece(*place, [line], rank=(2, number, 0), apart=True))
            elif key.text == "train":
                line = training_draft_text(read_train(key, value, unescaped, self.errors))
                pieces.append(Piece(*place, [line], rank=(2, number, 2)))
            else:
                line = parts_draft_text(read_parts(key, value, unescaped, self.errors))
                pieces.append(Piece(*place, [line], rank=(2, number, 2)))
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
            elif key.text == "stages" and isinstance(value, SequenceNode):
                pieces.append(head)
                for node in value.items:
                    pieces += self._stage(node)
            elif key.text == "train" and isinstance(value, MappingNode):
                pieces += self._train(key, value)
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

    def _stage(self, node: Node) -> list[Piece]:
        """A stage on one line where it was and fits, else a block with a piece for each of its keys."""
        assert isinstance(node, MappingNode)
        whole = "- " + self._value(node, True)
        if node.flow and len(whole) + 2 <= WIDTH and not any(key.text == "steps" for key, _ in node.pairs):
            return [Piece(node.span.start, node.span.end, [whole], "  ")]
        pieces: list[Piece] = []
        for key, value in node.pairs:
            pieces += self._stage_key(key, value)
        pieces[0].lines = ["- " + pieces[0].lines[0], *("  " + line for line in pieces[0].lines[1:])]
        pieces[0].indent = "  "
        return pieces

    def _stage_key(self, key: Word, value: Node) -> list[Piece]:
        if key.text == "train" and isinstance(value, MappingNode):
            return self._train(key, value, "    ")
        if isinstance(value, SequenceNode) and (value.items and not (value.flow and key.text != "steps")):
            head = Piece(key.span.start, key.span.end, [f"{key.text}:"], "    ")
            if key.text == "steps":
                return [head, *(piece for node in value.items for piece in self._step(node, "      "))]
            words = [(item, self._value(item, False, True)) for item in value.items]
            return [head, *(Piece(n.span.start, n.span.end, [f"- {word}"], "      ") for n, word in words)]
        line = f"{key.text}: {self._value(value, False, key.text in SPACED)}"
        return [Piece(key.span.start, value.span.end, [line], "    ")]

    def _train(self, key: Word, value: MappingNode, indent: str = "") -> list[Piece]:
        """A training: on one line where it was and fits, else a line for each of its keys."""
        pairs = [(n, self._value(v, value.flow, n.text in SPACED), v) for n, v in value.pairs]
        start, end = key.span.start, value.span.end
        if value.flow:
            lines = flow_or_block(
                "train", [(name.text, text) for name, text, _ in pairs], WIDTH - len(indent)
            )
            return [Piece(start, end, lines, indent)]
        inside = [
            Piece(name.span.start, word.span.end, [f"{name.text}: {text}"], indent + "  ")
            for name, text, word in pairs
        ]
        return [Piece(start, key.span.end, ["train:"], indent), *inside]

    def _own(self, root: MappingNode, key: Word, value: Node) -> list[str]:
        """A key of the user's own, verbatim."""
        if root.flow:
            return [f"{key.text}: {json.dumps(to_plain(value, self.errors), ensure_ascii=False)}"]
        lines = self.source.text[key.span.start : value.span.end].split("\n")
        return [line.rstrip() for line in lines]

    def _step(self, node: Node, indent: str = "  ") -> list[Piece]:
        start, end = node.span.start, node.span.end
        if not isinstance(node, MappingNode) or labelled_line(node):
            return [Piece(start, end, ["- " + self._line(node)], indent)]
        pairs = [(key, f"{key.text}: {self._value(value, node.flow)}", value) for key, value in node.pairs]
        whole = "- {" + ", ".join(text for _, text, _ in pairs) + "}"
        if node.flow and len(whole) + len(indent) <= WIDTH:
            return [Piece(start, end, [whole], indent)]
        dashed = ["- " + pairs[0][1], *("  " + text for _, text, _ in pairs[1:])]
        if node.flow:
            return [Piece(start, end, dashed, indent)]
        pieces = [
            Piece(k.span.start, v.span.end, [t], indent) for (k, _, v), t in zip(pairs, dashed, strict=True)
        ]
        for piece in pieces[1:]:
            piece.lines, piece.indent = [piece.lines[0][2:]], indent + "  "
        return pieces

    def _value(self, node: Node, flow: bool, spaced: bool = False) -> str:
        """A value; `spaced`: its words are set apart by one blank each."""
        if isinstance(node, MappingNode):
            pairs = [f"{k.text}: {self._value(v, True, k.text in SPACED)}" for k, v in node.pairs]
            return "{" + ", ".join(pairs) + "}"
        if isinstance(node, SequenceNode):
            return "[" + ", ".join(self._value(item, True, spaced) for item in node.items) + "]"
        word = as_word(node)
        return yaml_scalar(replace(word, text=" ".join(word.text.split())) if spaced else word, flow)

    def _line(self, node: Node) -> str:
        """A DSL line; one with `${name}` in it keeps its words as they are."""
        label, scalar = "", node
        if isinstance(node, MappingNode):
            key, scalar = labelled_line(node) or node.pairs[0]
            label = f"{key.text}: "
        assert isinstance(scalar, ScalarNode)
        if "${" in scalar.text:
            start, end = split(locate(scalar), self.errors).statements[0]
            return label + line_scalar(" ".join(scalar.text[start:end].split()))
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
        comments += [comment for node in _steps_in(root) for comment in self._inner(node)]
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


def _steps_in(root: MappingNode) -> Iterator[Node]:
    """The nodes of all steps, a plan's and its stages'."""
    for key, value in root.pairs:
        if key.text == "steps" and isinstance(value, SequenceNode):
            yield from value.items
        elif key.text == "stages" and isinstance(value, SequenceNode):
            for stage in value.items:
                yield from _steps_in(stage) if isinstance(stage, MappingNode) else ()


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
