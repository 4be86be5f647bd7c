"""JSON with positions: where every key and value of a small file stands, and no leniency.

Refused, with the place: duplicate keys, NaN and Infinity, anything that is not UTF-8, nesting
past `MAX_DEPTH`. `json` itself accepts the first two silently.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, NoReturn

from growplan.checkpoint.files import read_bytes
from growplan.diagnostics import Diagnostic, DiagnosticError, Source, Span, fail

MAX_DEPTH = 64
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None}
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


@dataclass(frozen=True)
class Document:
    """A parsed file. `keys` and `values` map a dotted path (`rope_parameters.rope_theta`) to its span."""

    path: Path
    data: Any
    source: Source
    keys: Mapping[str, Span]
    values: Mapping[str, Span]


@dataclass(frozen=True)
class Codes:
    """Which diagnostics a file's mistakes raise."""

    syntax: str
    duplicate: str
    help: str  # the way out of a syntax error


def json_kind(value: Any) -> str:
    """What JSON calls a value: `a list`, `null`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else "a string" if isinstance(value, str) else "a number"


def read_json(path: Path, codes: Codes, name: str | None = None) -> Document:
    """Parse a file. Raises `codes.syntax` or `codes.duplicate` at the place, GP43x when unreadable."""
    raw = read_bytes(path)
    name = name or str(path)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8")
        source = Source(name, good + "\ufffd")
        at = Span(source, len(good), len(good) + 1)
        fail(codes.syntax, f"{name} is not UTF-8 text (byte {error.start})", at, help=codes.help)
    return parse_json(text, path, codes, name)


def parse_json(text: str, path: Path, codes: Codes, name: str) -> Document:
    """As `read_json`, on text already read."""
    return _Parser(text, path, codes, name).document()


class _Parser:
    def __init__(self, text: str, path: Path, codes: Codes, name: str) -> None:
        self.text, self.path, self.codes = text, path, codes
        self.source = Source(name, text)
        self.keys: dict[str, Span] = {}
        self.values: dict[str, Span] = {}

    def document(self) -> Document:
        value, end = self.value(self.space(0), "", 0)
        end = self.space(end)
        if end != len(self.text):
            self.error("text after the end of the JSON value", end)
        return Document(self.path, value, self.source, self.keys, self.values)

    def error(self, message: str, at: int, end: int | None = None) -> NoReturn:
        span = Span(self.source, at, max(at + 1, end or 0))
        full = f"{self.source.name} is not valid JSON: {message}"
        fail(self.codes.syntax, full, span, help=self.codes.help)

    def space(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        assert match is not None
        return match.end()

    def value(self, at: int, path: str, depth: int) -> tuple[Any, int]:
        if depth > MAX_DEPTH:
            self.error(f"nested more than {MAX_DEPTH} deep", at)
        first = self.text[at : at + 1]
        value: Any
        if first == "{":
            value, end = self.object(at, path, depth)
        elif first == "[":
            value, end = self.array(at, path, depth)
        elif first == '"':
            value, end = self.string(at)
        else:
            value, end = self.scalar(at)
        self.values[path] = Span(self.source, at, end)
        return value, end

    def string(self, at: int) -> tuple[str, int]:
        try:
            text, end = scanstring(self.text, at + 1, True)
        except json.JSONDecodeError as error:
            self.error(error.msg[0].lower() + error.msg[1:], min(error.pos, len(self.text)))
        if any("\ud800" <= ch <= "\udfff" for ch in text):
            self.error("half of a surrogate pair in a string", at, end)
        return text, end

    def scalar(self, at: int) -> tuple[Any, int]:
        for word in _NOT_FINITE:
            if self.text.startswith(word, at):
                self.error(f"{word} is not a number JSON has", at, at + len(word))
        for word, meaning in _WORDS.items():
            if self.text.startswith(word, at):
                return meaning, at + len(word)
        match = _NUMBER.match(self.text, at)
        if match is None:
            found = self.text[at : at + 1]
            self.error(f"a value is expected, found {found!r}" if found else "the text ends too early", at)
        digits = match.group()
        if len(digits) > 400:
            self.error(f"a number of {len(digits)} characters", at, match.end())
        if match.group(1) is None and match.group(2) is None:
            return int(digits), match.end()
        number = float(digits)
        if number in (float("inf"), float("-inf")):
            self.error(f"{digits} is too large for a float", at, match.end())
        return number, match.end()

    def array(self, at: int, path: str, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        at = self.space(at + 1)
        if self.text[at : at + 1] == "]":
            return items, at + 1
        while True:
            item, at = self.value(at, f"{path}[{len(items)}]", depth + 1)
            items.append(item)
            at = self.space(at)
            if self.text[at : at + 1] == "]":
                return items, at + 1
            at = self.comma(at, "]")

    def object(self, at: int, path: str, depth: int) -> tuple[dict[str, Any], int]:
        items: dict[str, Any] = {}
        at = self.space(at + 1)
        if self.text[at : at + 1] == "}":
            return items, at + 1
        while True:
            if self.text[at : at + 1] != '"':
                self.error("a key in double quotes is expected", at)
            key, end = self.string(at)
            where = f"{path}.{key}" if path else key
            span = Span(self.source, at, end)
            if key in items:
                self.duplicate(key, where, span)
            self.keys[where] = span
            at = self.space(end)
            if self.text[at : at + 1] != ":":
                self.error("`:` is expected after a key", at)
            items[key], at = self.value(self.space(at + 1), where, depth + 1)
            at = self.space(at)
            if self.text[at : at + 1] == "}":
                return items, at + 1
            at = self.comma(at, "}")

    def comma(self, at: int, closing: str) -> int:
        if self.text[at : at + 1] != ",":
            what = "the text ends too early" if at >= len(self.text) else f"`,` or `{closing}` is expected"
            self.error(what, at)
        after = self.space(at + 1)
        if self.text[after : after + 1] == closing:
            self.error(f"a comma before `{closing}`", at)
        return after

    def duplicate(self, key: str, where: str, span: Span) -> NoReturn:
        first = self.keys.get(where)
        notes = [("first", f"line {first.line}, column {first.column}")] if first else []
        message = f"{self.source.name} has the key `{key}` twice"
        help = ("delete one of the two: readers disagree about which one counts",)
        raise DiagnosticError(Diagnostic(self.codes.duplicate, message, span, tuple(notes), help))
