"""Mistakes of a plan with stages, in both spellings: each at its word, all in one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.pipeline import check_schedule, read_for

GPT2 = Path(__file__).parents[2] / "plans" / "configs" / "gpt2"
YAML = """growplan: 1
source: ./gpt2
train: {on: corpus.txt, batch: 4, tokens: 64}
stages:
  - {name: small, train: {for: 20 steps}}
  - name: wide
    steps: [STEP]
    WORDS: PART
    train: {for: 20 steps, OPTION}
"""
DSL = """source ./gpt2
train on corpus.txt, batch 4, tokens 64
stage small
train for 20 steps
stage wide
STEP
WORDS PART
train for 20 steps, OPTION
"""


def written(text: str, yaml: bool, **words: str) -> str:
    given = {"STEP": "widen ffn x2", "WORDS": "train-only", "PART": "top 3", "OPTION": "lr 1e-3", **words}
    for key, word in given.items():
        word = word.replace(" ", ": ", 1) if yaml and key == "OPTION" else word
        text = text.replace(key, word)
    return text


def found(text: str, syntax: str, folder: Path) -> list[tuple[str, str]]:
    """(code, the words marked) of every mistake."""
    (folder / "corpus.txt").write_text("a text of some words, " * 200)
    with pytest.raises(DiagnosticError) as error:
        plan = read_for(
            lambda: parse_text(text, "p.grow", syntax).read_from(str(folder / "p")), model_dir=GPT2
        )
        check_schedule(plan, model_dir=GPT2)
    assert all(d.help and d.span for d in error.value.diagnostics)
    return [
        (d.code, d.span.source.text[d.span.start : d.span.end]) for d in error.value.diagnostics if d.span
    ]


@pytest.mark.parametrize("syntax", ["yaml", "dsl"])
@pytest.mark.parametrize(
    ("words", "code", "marked"),
    [
        ({"STEP": "widen ffn 768→4096"}, "GP102", "768"),
        ({"STEP": "mask-in ffn x2 over 30 steps"}, "GP596", "30"),
        ({"PART": "top 99"}, "GP590", "top 99"),
        ({"PART": "top 1, new-layers"}, "GP592", "new-layers"),
        ({"PART": "head"}, "GP591", "head"),
        ({"WORDS": "freeze", "PART": "embeddings"}, "GP591", "embeddings"),
        ({"OPTION": "lrate 1e-3"}, "GP115", "1e-3"),
        ({"OPTION": "batch 0"}, "GP116", "0"),
        ({"OPTION": "sub-models 5"}, "GP593", "5"),
    ],
)
def test_a_mistake_is_marked_at_its_word(
    words: dict[str, str], code: str, marked: str, syntax: str, tmp_path: Path
) -> None:
    text = written(YAML if syntax == "yaml" else DSL, syntax == "yaml", **words)
    (only,) = found(text, syntax, tmp_path)
    assert only == (code, marked)


@pytest.mark.parametrize("syntax", ["yaml", "dsl"])
def test_all_mistakes_in_one_run(syntax: str, tmp_path: Path) -> None:
    text = written(YAML if syntax == "yaml" else DSL, syntax == "yaml", STEP="widen fnn x2", OPTION="clip -1")
    text = text.replace("batch", "batsch")
    assert {code for code, _ in found(text, syntax, tmp_path)} == {"GP101", "GP115", "GP116"}


@pytest.mark.parametrize("syntax", ["yaml", "dsl"])
def test_data_that_is_not_there_is_told_once_where_it_is_named(syntax: str, tmp_path: Path) -> None:
    text = written(YAML if syntax == "yaml" else DSL, syntax == "yaml").replace("corpus.txt", "nowhere.txt")
    assert found(text, syntax, tmp_path) == [("GP521", "nowhere.txt")]
