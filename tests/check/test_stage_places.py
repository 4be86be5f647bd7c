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


MANY_YAML = """growplan: 1
source: ./gpt2
train: {on: corpus.txt, batch: 4, tokens: 64, lr: 012, colour: red}
stages:
  - {name: small, train-only: [top 30, haed, head], train: {for: 20 steps, batch: 0, tied: train}}
  - name: wide
    steps: [widen fnn x2, mask-in depth x2 over 30 steps, widen vocab 5→6]
    freeze: layers 11:14
    train: {for: 20 steps, warmup: off}
  - {name: odd, steps: [stack depth x2 via nothing], train: {for: 2 epochs}, freeze: nonsense}
  - {name: last, steps: [widen ffn 5→6, widen vocab 50257→50304], train: {for: 10 steps, sub-models: 5}}
"""
MANY_DSL = """source ./gpt2
train on corpus.txt, batch 4, tokens 64, lr 012, colour red
stage small
train-only top 30, haed, head
train for 20 steps, batch 0, tied train
stage wide
widen fnn x2
mask-in depth x2 over 30 steps
widen vocab 5→6
freeze layers 11:14
train for 20 steps, warmup off
stage odd
stack depth x2 via nothing
freeze nonsense
train for 2 epochs
stage last
widen ffn 5→6
widen vocab 50257→50304
train for 10 steps, sub-models 5
"""


@pytest.mark.parametrize("syntax", ["yaml", "dsl"])
def test_every_mistake_that_hangs_on_no_other_is_told_in_one_run(syntax: str, tmp_path: Path) -> None:
    """What cannot be read, and what does not fit the model, through all stages."""
    expected = [
        ("GP009", "012"),
        ("GP115", "red"),
        ("GP590", "top 30"),
        ("GP047", "haed"),
        ("GP116", "0"),
        ("GP101", "fnn"),
        ("GP102", "5"),
        ("GP009", "off"),
        ("GP111", "nothing"),
        ("GP045", "2 epochs") if syntax == "yaml" else ("GP020", "epochs"),
        ("GP047", "nonsense"),
        ("GP102", "5"),
    ]
    text = MANY_YAML if syntax == "yaml" else MANY_DSL
    assert sorted(found(text, syntax, tmp_path)) == sorted(expected)


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        # a bad training hides no size, and no word
        ("{name: a, steps: [widen ffn 5→6], freeze: top 99, train: {for: 9, lr: off}}",
         ["GP102", "GP045", "GP009"]),
        ("{name: a, steps: [widen ffn 3072→4096], freeze: top 99, train: {for: 9, lr: off}}",
         ["GP590", "GP045", "GP009"]),
        # nor do two words that name nothing
        ("{name: a, freeze: [layers 9:20, top 99, nothing.*], train: {for: 9 steps}}", ["GP590", "GP590"]),
        # nothing is said of a length, or of a training, that could not be read
        ("{name: a, train: {for: 9}}\n  - {name: b, train: [9]}\n  - {name: c, train: {foo: {a: b}}}",
         ["GP045", "GP013", "GP013"]),
        ("{name: a, steps: [mask-in ffn x2 over 30 steps], train: {for: 9}}", ["GP045"]),
        ("{name: a, steps: [mask-in ffn x2 over 30 steps], train: {for: 90 tokens, batch: 0}}", ["GP116"]),
        ("{name: a, train-only: head, train: {for: 9 steps, tied: maybe}}", ["GP116"]),
        ("{name: a, train-only: [head, haed], freeze: head, train: {for: 9 steps}}", ["GP047"]),
        # what a lost step changes is not judged, and what it cannot change is
        ("{name: a, steps: [widn ffn x2]}\n  - {name: b, steps: [widen ffn 5→6, widen fnn x2]}",
         ["GP021", "GP101"]),
        ("{name: a, steps: [widen ffn 5→6]}\n  - {name: b, steps: [widn ffn x2]}", ["GP102", "GP021"]),
        ("{name: a, steps: [widen ffn 5→6]}\n  - {name: b, steps: [widen ffn 7→8, widen vocab 5→6]}",
         ["GP102", "GP102"]),
        ("{steps: [widen ffn 5→6], train: {for: 9}}", ["GP044", "GP102", "GP045"]),
        ("{nmae: a, train: {for: 9 steps, batch: 0}}", ["GP044", "GP116"]),
    ],
)  # fmt: skip
def test_one_mistake_of_a_stage_makes_no_other(stages: str, expected: list[str], tmp_path: Path) -> None:
    head = "source: ./gpt2\ntrain: {on: corpus.txt, batch: 4, tokens: 64, tied: train}\nstages:\n  - "
    text = f"{head}{stages}\n"
    assert sorted(code for code, _ in found(text, "yaml", tmp_path)) == sorted(expected)


@pytest.mark.parametrize(
    ("syntax", "text", "expected"),
    [
        ("yaml", "trian: {on: corpus.txt, for: 9 steps}\nstages: [{name: a, freeze: head}]", ["GP008"]),
        ("dsl", "trian on corpus.txt for 9 steps\nstage a\nfreeze head\nstage b", ["GP021"]),
        ("dsl", "train on corpus.txt for 9\nstage a\nfreeze top 99\nstage b", ["GP020", "GP590"]),
        ("yaml", "sted: 3\nsteps: [widen ffn 5→6]", ["GP008"]),
    ],
)
def test_what_may_have_been_a_training_is_not_missed(
    syntax: str, text: str, expected: list[str], tmp_path: Path
) -> None:
    assert [code for code, _ in found(text, syntax, tmp_path)] == expected


def test_a_header_that_cannot_be_read_hides_no_size(tmp_path: Path) -> None:
    for steps in ("steps: [widen ffn 5→6]", "stages: [{name: a, steps: [widen ffn 5→6]}]"):
        assert [code for code, _ in found(f"seed: off\n{steps}\n", "yaml", tmp_path)] == ["GP009", "GP102"]
