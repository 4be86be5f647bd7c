"""Family files as marked text: YAML nodes with the place of every word.

Only the node tree is read. Nothing is constructed from tags, and values are
interpreted here, not by YAML 1.1 (`off` is a word, `1e-12` a number).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from growplan.checkpoint.files import read_regular
from growplan.diagnostics import Source, Span, fail
from growplan.families.problems import Problems

DATA = Path(__file__).parent / "data"
MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_OPENERS = 500  # fewer brackets and dashes cannot nest deep enough to matter
_CORRECT = "correct it there; text with `: `, `#` or brackets is quoted"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z")
_KINDS = ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")  # YAML's own scalars
_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in _KINDS}
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True)
class Text:
    """A scalar and where it stands; `lines` start at `starts` in the source."""

    value: str
    plain: bool
    span: Span

    def typed(self) -> Any:
        """The scalar as null, bool, int, float or str; quoted scalars are always str."""
        if not self.plain:
            return self.value
        if self.value in _WORDS:
            return _WORDS[self.value]
        if _INT.match(self.value):
            return int(self.value[:64]) if len(self.value) <= 64 else self.value
        return float(self.value) if _FLOAT.match(self.value) else self.value

    def at(self, line: int, start: int, end: int) -> Span:
        """The span of columns start:end in a 0-based line of the value."""
        source, first = self.span.source, self.span.line
        body = self.value.split("\n")[line] if line < self.value.count("\n") + 1 else ""
        block = source.text[self.span.start : self.span.start + 1] in ("|", ">")
        if not block:
            offset = self.span.start + (0 if self.plain else 1)
            return Span(source, offset + start, offset + end)
        row = source.line(first + 1 + line)
        indent = len(row) - len(row.lstrip()) - (len(body) - len(body.lstrip()))
        begin = _line_start(source, first + 1 + line) + indent
        return Span(source, begin + start, begin + end)


def _line_start(source: Source, number: int) -> int:
    return source._line_starts[number - 1]


@cache
def builtin_families() -> Mapping[str, Path]:
    """Name -> data file of every family that ships, by a scan of `growplan/families/data`."""
    return {path.stem: path for path in sorted(DATA.glob("*.yaml"))}


def read_source(path: str | Path) -> Source:
    """The text of a family file; GP340 where it cannot be read."""
    help = "give a family file: YAML such as `growplan/families/data/gpt2.yaml`"
    try:
        data = read_regular(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        fail("GP340", f"cannot read the family file `{path}`: {reason}", help=help)
    if len(data) > MAX_BYTES:
        fail("GP340", f"the family file `{path}` is larger than {MAX_BYTES} bytes", help=help)
    try:
        return Source(str(path), data.decode("utf-8"))
    except UnicodeDecodeError as error:
        message = f"the family file `{path}` is not UTF-8 (byte {error.start})"
        fail("GP340", message, help=("save it as UTF-8", help))


def _mark(node: Any, source: Source) -> None:
    """Let every node of a tree know its file; an alias may lead back into it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if hasattr(node, "source"):
            continue
        node.source = source
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


class Tree:
    """The nodes of one file; every accessor reports a wrong shape and gives something empty."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self.source = source
        self.problems = problems

    def compose(self) -> Any:
        """The root node; a syntax error stops at once with its place."""
        self._refuse_deep_nesting()
        try:
            node = yaml.compose(self.source.text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            at = mark.index if mark else 0
            fail("GP341", f"not YAML: {error.problem or error}", Span(self.source, at, at + 1), help=_CORRECT)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            fail("GP341", f"not YAML: {error}", Span(self.source, 0, 0), help=_CORRECT)
        if not isinstance(node, yaml.MappingNode):
            message = "a family file is a mapping"
            fail("GP342", message, Span(self.source, 0, 0), help="begin with `family: NAME`")
        _mark(node, self.source)
        return node

    def _refuse_deep_nesting(self) -> None:
        """libyaml composes by recursion in C: brackets by the thousand would end the process."""
        text = self.source.text
        if sum(text.count(opener) for opener in "[{-?") <= MAX_OPENERS:
            return
        depth = 0
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                if isinstance(event, yaml.CollectionStartEvent):
                    depth += 1
                elif isinstance(event, yaml.CollectionEndEvent):
                    depth -= 1
                if depth > MAX_DEPTH:
                    at = event.start_mark.index if event.start_mark else 0
                    span = Span(self.source, at, at + 1)
                    fail("GP341", f"nested deeper than {MAX_DEPTH}", span, help="take levels away")
        except yaml.YAMLError:
            return  # reported with its place when composed

    def span(self, node: Any) -> Span:
        """Where a node stands, in the file it came from (an inherited one: the parent's)."""
        return Span(node.source, node.start_mark.index, node.end_mark.index)

    def mapping(self, node: Any, what: str) -> dict[str, tuple[Text, Any]]:
        """key -> (key text, value node), duplicates refused."""
        out: dict[str, tuple[Text, Any]] = {}
        if not isinstance(node, yaml.MappingNode):
            help = "write `KEY: VALUE` lines"
            self.problems.add("GP342", f"{what} is a mapping", self.span(node), help=help)
            return out
        for key, value in node.value:
            text = self.text(key, f"a key of {what}")
            if text is None:
                continue
            if text.value in out:
                message = f"`{text.value}` is given twice in {what}"
                self.problems.add("GP342", message, text.span, help="remove one of them")
                continue
            out[text.value] = (text, value)
        return out

    def items(self, node: Any) -> Iterator[Any]:
        """The nodes of a list, or the one node that stands for a list of one."""
        if isinstance(node, yaml.SequenceNode):
            yield from node.value
        else:
            yield node

    def text(self, node: Any, what: str) -> Text | None:
        """A scalar, or None after a report."""
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _TAGS:
            message = f"{what} is a word or a line of text"
            self.problems.add("GP342", message, self.span(node), help="quote it if YAML reads it otherwise")
            return None
        return Text(str(node.value), not node.style, self.span(node))

    def texts(self, node: Any, what: str) -> list[Text]:
        """A list of scalars."""
        found = (self.text(item, f"an entry of {what}") for item in self.items(node))
        return [text for text in found if text is not None]
