"""The documentation is run: shell blocks against what is printed, Python blocks as doctests."""

from __future__ import annotations

import doctest
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "minilm").mkdir()
    (tmp_path / "minilm" / "config.json").write_text(json.dumps(MINILM))
    (tmp_path / "minilm-768.grow.yaml").write_text(PLAN, encoding="utf-8")
    (tmp_path / "deeper.grow.yaml").write_text(DEEPER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def consoles(text: str) -> Iterator[tuple[str, str]]:
    """(command, expected output) of every console block."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        command, _, output = block.partition("\n")
        yield command.removeprefix("$ growplan "), output


CONSOLES = list(consoles((REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize(("command", "expected"), CONSOLES, ids=[command for command, _ in CONSOLES])
def test_console_blocks(command: str, expected: str) -> None:
    result = run(*shlex.split(command))
    shown = result.stdout + result.stderr
    checker = doctest.OutputChecker()
    assert checker.check_output(expected, shown, doctest.ELLIPSIS), shown


def test_the_python_api() -> None:
    tiny_checkpoint("gpt2", Path("gpt2-tiny"))
    path = REPOSITORY / "docs" / "python-api.md"
    failed, tried = doctest.testfile(str(path), module_relative=False, encoding="utf-8")
    assert tried > 10
    assert failed == 0
