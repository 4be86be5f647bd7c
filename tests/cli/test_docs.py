"""The documentation is run: shell blocks against what is printed, Python blocks as doctests."""

from __future__ import annotations

import doctest
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from growplan.methods.training import TRAINING
from tests.cli.made import REPOSITORY, run
from tests.tiny import tiny_checkpoint

MINILM = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 384,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
PLAN = "growplan: 1\nsource: ./minilm\ntarget: ./minilm-768\nsteps:\n  - widen hidden 384→768 via fpi\n"
DEEPER = "growplan: 1\nsource: ./minilm\ntarget: ./minilm-12l\nsteps:\n  - stack depth x2\n"
LIGO = (
    "growplan: 1\nsource: ./bert-small\nsteps:\n"
    "  - grow hidden 512→768, heads 8→12, ffn 2048→3072, depth 6→12 via ligo on corpus.txt for 100 steps\n"
)
STAGED = """growplan: 1
source: ./bert-small
target: ./run
train: {on: corpus.txt, lr: 1e-3, batch: 16, tokens: 64, tied: freeze}
stages:
  - {name: small, train: {for: 2000 steps}}
  - name: wide
    steps: [mask-in ffn 2048→3072 over 500 steps]
    train: {for: 2000 steps}
  - name: deep
    steps: [stack depth x2 via mslt]
    train-only: new-layers, head
    train: {for: 1M tokens, lr: 5e-4}
  - {name: all, train: {for: 2M tokens}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "minilm").mkdir()
    (tmp_path / "minilm" / "config.json").write_text(json.dumps(MINILM))
    (tmp_path / "minilm-768.grow.yaml").write_text(PLAN, encoding="utf-8")
    (tmp_path / "deeper.grow.yaml").write_text(DEEPER, encoding="utf-8")
    small = REPOSITORY / "plans" / "configs" / "bert-l6-h512"
    shutil.copytree(small, tmp_path / "bert-small")
    (tmp_path / "corpus.txt").write_text("It is a truth universally acknowledged.\n" * 99)
    (tmp_path / "ligo.grow.yaml").write_text(LIGO, encoding="utf-8")
    (tmp_path / "staged.grow.yaml").write_text(STAGED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def consoles(text: str) -> Iterator[tuple[str, str]]:
    """(command, expected output) of every console block."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        command, _, output = block.partition("\n")
        yield command.removeprefix("$ growplan "), output


PAGES = [(REPOSITORY / "docs" / name).read_text(encoding="utf-8") for name in ("cli.md", "learned-growth.md")]
CONSOLES = [each for page in PAGES for each in consoles(page)]


@pytest.mark.parametrize(("command", "expected"), CONSOLES, ids=[command for command, _ in CONSOLES])
def test_console_blocks(command: str, expected: str) -> None:
    result = run(*shlex.split(command))
    shown = result.stdout + result.stderr
    checker = doctest.OutputChecker()
    assert checker.check_output(expected, shown, doctest.ELLIPSIS), shown


def test_every_option_of_a_training_is_described() -> None:
    said = re.findall(r"^\| `([\w-]+)` \| (.*) \(default (.*)\) \|$", PAGES[0], re.MULTILINE)
    assert said == [(option.name, option.doc, str(option.default)) for option in TRAINING]


def test_the_python_api() -> None:
    tiny_checkpoint("gpt2", Path("gpt2-tiny"))
    np.save("tokens.npy", np.arange(600) % 30)
    path = REPOSITORY / "docs" / "python-api.md"
    failed, tried = doctest.testfile(str(path), module_relative=False, encoding="utf-8")
    assert tried > 10
    assert failed == 0


HEADS = {
    "causal": "GPT2LMHeadModel",
    "sequence": "GPT2ForSequenceClassification",
    "token": "LlamaForTokenClassification",
    "answer": "LlamaForQuestionAnswering",
}
LINES = [found for page in PAGES for found in re.findall(r"```jsonl (\w+)\n(.*?)```", page, re.DOTALL)]


@pytest.mark.parametrize(("task", "lines"), LINES, ids=[task for task, _ in LINES])
def test_lines_of_data(task: str, lines: str) -> None:
    """Every line of the page is read for the head that it is written for."""
    from growplan.learn.reading import read_corpus
    from growplan.methods.operator import Recipe
    from tests.learn.handmade import bound

    family = HEADS[task].partition("For")[0].lower() if task in ("token", "answer") else "gpt2"
    source = tiny_checkpoint(family, Path("m"), architecture=HEADS[task], vocab_size=256, pad_token_id=0)
    Path("d.jsonl").write_text(lines * 2, encoding="utf-8")
    facts = read_corpus(Path("d.jsonl"), source, bound(source), Recipe(tokens=8), "k").facts()
    if task == "causal":
        assert facts["tokens"] == 2 * (len("It is a truth universally acknowledged.") + 1 + 5)
    else:
        assert facts["sequences"] == 2 * len(lines.splitlines())
