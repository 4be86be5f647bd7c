"""Words of a plan as YAML writes them: plain where that is read back as the same, else in quotes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from growplan.language.draft import TrainDraft
from growplan.language.printing import bare, training_words
from growplan.language.variables import REFERENCE
from growplan.language.words import Word

WIDTH = 100
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
        return f"{label}: {line_scalar(rest)}"
    return line_scalar(line)


def line_scalar(line: str) -> str:
    """A DSL line without its label, as a scalar."""
    return line if plain_safe(line) else "'" + line.replace("'", "''") + "'"


def _only_reference(text: str) -> bool:
    found = REFERENCE.fullmatch(text)
    return found is not None and not found[1]


def flow_or_block(key: str, pairs: Sequence[tuple[str, str]], room: int = WIDTH) -> list[str]:
    """`key: {a: b, ...}` where that fits, else a block."""
    line = f"{key}: {{" + ", ".join(f"{name}: {value}" for name, value in pairs) + "}"
    if len(line) <= room:
        return [line]
    return [f"{key}:", *(f"  {name}: {value}" for name, value in pairs)]


def training_lines(train: TrainDraft, room: int = WIDTH) -> list[str]:
    """A `train` of the DSL as YAML."""
    pairs = [
        (key, yaml_scalar(Word(escape(word.text), word.span, word.quoted), flow=True))
        for key, word in training_words(train)
    ]
    return flow_or_block("train", pairs, room)


def escape(text: str) -> str:
    """DSL text for YAML, where `${` would be a reference."""
    return text.replace("${", "$${")
