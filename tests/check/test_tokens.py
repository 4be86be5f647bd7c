"""A grown vocabulary beside tokenizers of every form, and what is said of the difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from growplan.checkpoint.tokenizer import Tokenizer, read_tokenizer
from growplan.diagnostics import Diagnostic
from growplan.language import parse_text
from growplan.pipeline import check
from tests.check.models import GPT2

WORDS = {f"w{i}": i for i in range(31)}
ADDED = [{"id": 31, "content": "<pad>"}, {"id": 33, "content": "<far>"}]
FORMS: dict[str, dict[str, Any]] = {
    "map": {"tokenizer.json": {"model": {"vocab": WORDS}, "added_tokens": ADDED}},
    "pieces": {"tokenizer.json": {"model": {"vocab": [[w, 0.0] for w in WORDS]}, "added_tokens": ADDED}},
    "vocab.json": {"vocab.json": WORDS, "added_tokens.json": {"<pad>": 31, "<far>": 33}},
    "vocab.txt": {"vocab.txt": "\n".join(WORDS) + "\n", "added_tokens.json": {"<far>": 33}},
}
BROKEN: dict[str, Any] = {
    "no JSON": "{",
    "no model": {},
    "no list": [],
    "a word for an id": {"model": {"vocab": {"a": "b"}}},
    "a negative id": {"model": {"vocab": {"a": -1}}},
    "tokens without ids": {"model": {"vocab": {}}, "added_tokens": [{}]},
}


def written(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        folder.joinpath(name).write_text(text, encoding="utf-8")
    return folder


def findings(folder: Path, steps: str, vocab: int = 31) -> list[Diagnostic]:
    written(folder, {"config.json": {**GPT2, "vocab_size": vocab}})
    return list(check(parse_text(steps, "p.grow", "dsl"), model_dir=folder).lints)


@pytest.mark.parametrize("form", FORMS)
def test_the_size_is_one_past_the_highest_id(form: str, tmp_path: Path) -> None:
    tokenizer = read_tokenizer(written(tmp_path, FORMS[form]))
    assert tokenizer is not None and tokenizer.size == 34


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_tokenizer_that_cannot_be_read_is_told(content: Any, tmp_path: Path) -> None:
    written(tmp_path, {"tokenizer.json": content})
    assert read_tokenizer(tmp_path) == Tokenizer("tokenizer.json", None)
    (found,) = findings(tmp_path, "widen vocab 31→40")
    assert (found.code, found.severity) == ("GP373", "warning")


@pytest.mark.parametrize(
    ("vocab", "to", "code", "severity", "words"),
    [
        (31, 40, "GP371", "note", "6 new rows have no token yet"),
        (33, 35, "GP371", "note", "1 new row has no token yet"),
        (36, 40, "GP371", "note", "4 new rows have no token yet"),
        (31, 33, "GP372", "warning", "ids 33:34 have none"),
        (31, 34, None, None, ""),
    ],
)
def test_tokens_and_rows_are_held_together(
    vocab: int, to: int, code: str | None, severity: str | None, words: str, tmp_path: Path
) -> None:
    found = findings(written(tmp_path, FORMS["map"]), f"widen vocab {vocab}→{to}", vocab)
    assert [(d.code, d.severity) for d in found] == ([(code, severity)] if code else [])
    for d in found:
        assert words in d.message and str(d.span) == "p.grow:1:1" and d.help


def test_the_way_out_of_a_small_vocab_works(tmp_path: Path) -> None:
    (found,) = findings(written(tmp_path, FORMS["map"]), "widen vocab 31→32")
    assert found.help == ("`widen vocab to 34`, or more",)
    assert findings(tmp_path, "widen vocab to 34") == []


@pytest.mark.parametrize("steps", ["widen ffn x2", "widen vocab 31→31"])
def test_a_vocab_that_stays_reads_no_tokenizer(steps: str, tmp_path: Path) -> None:
    written(tmp_path, {"tokenizer.json": "{"})
    assert "GP373" not in {d.code for d in findings(tmp_path, steps)}


def test_a_source_without_a_tokenizer_says_nothing(tmp_path: Path) -> None:
    assert read_tokenizer(tmp_path) is None
    assert findings(tmp_path, "widen vocab 31→40") == []
