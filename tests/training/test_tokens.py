"""A text is tokenised once in a run, whatever its stages, killed or not."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from growplan.learn.corpus import Tokens
from growplan.learn.kept import Kept, packed, unpacked
from growplan.learn.tokenizer import Encoder
from growplan.training import stage as stages
from tests.tiny import tiny_checkpoint
from tests.training.killed import alone, counted
from tests.training.runs import bytes_of, run, write_plan, write_source

STAGES = """
{name: a, train: {for: 3 steps}}
{name: b, steps: ["widen ffn 192→256 via fpi"], train: {for: 2 steps, batch: 2}}
{name: c, train: {for: 2 steps, tokens: 6}}
"""
WORDS = ["[UNK]", *"abcdefghijklmnopqrstuvwxyz"]


def give_tokenizer(source: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(source / "tokenizer.json"))


def words(count: int) -> str:
    return " ".join(random.Random(0).choices(WORDS[1:], k=count))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    give_tokenizer(write_source(tmp_path))
    (tmp_path / "text.txt").write_text(words(3000))
    return tmp_path


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each call of a tokenizer was given."""
    found, call = list[int](), Encoder.__call__

    def counting(self: Encoder, texts: Sequence[str], longest: int | None = None) -> list[list[int]]:
        found.append(len(texts))
        return call(self, texts, longest)

    monkeypatch.setattr(Encoder, "__call__", counting)
    return found


def test_a_text_is_tokenised_once(folder: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = write_plan(folder, STAGES, on="text.txt")
    mapped, read = list[bool](), stages.read_corpus

    def look(*args: Any) -> Any:
        corpus = read(*args)
        assert isinstance(corpus, Tokens)
        mapped.append(isinstance(corpus.ids, np.memmap))
        return corpus

    with monkeypatch.context() as patch:
        patch.setattr(stages, "read_corpus", look)
        out = run(plan, folder / "once").out
    assert encoded == [1] and mapped == [True] * 3
    assert not (out / "tokens").exists()

    def anew(*args: Any) -> Any:
        return read(*args[:-1])  # nothing is kept

    monkeypatch.setattr(stages, "read_corpus", anew)
    assert bytes_of(run(plan, folder / "anew").out) == bytes_of(out) and encoded == [1] * 4


def test_a_killed_run_goes_on_with_its_tokens(folder: Path) -> None:
    plan, draw, lives = write_plan(folder, STAGES, on="text.txt"), random.Random(1), 0
    moves = counted(lambda: run(plan, folder / "whole"))
    while not alone(lambda: run(plan, folder / "run"), draw.randint(1, max(20, moves // 2))):
        lives += 1
    assert lives and bytes_of(folder / "run") == bytes_of(folder / "whole")
    assert not [path.name for path in (folder / "run").iterdir() if path.name.startswith((".", "tokens"))]


class Stop(Exception):
    """The user's."""


def stopped(plan: Path, out: Path) -> None:
    """A run that ends in its first stage."""

    def stop(step: Any) -> None:
        if step.kind == "step" and step.done == 2:
            raise Stop

    with pytest.raises(Stop):
        run(plan, out, progress=stop)


def test_what_is_kept_follows_the_text_and_the_tokenizer(folder: Path, encoded: list[int]) -> None:
    plan, out = write_plan(folder, STAGES, on="text.txt"), folder / "run"
    whole = bytes_of(run(plan, folder / "whole").out)
    stopped(plan, out)
    (kept,) = (out / "tokens").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])  # cut off
    del encoded[:]
    stopped(plan, folder / "other")
    assert bytes_of(run(plan, out).out) == whole and encoded == [1, 1]
    stopped(plan, out := folder / "third")
    (folder / "text.txt").write_text(words(2900))
    del encoded[:]
    run(plan, out, force=True)
    assert encoded == [1]


def test_labelled_texts_are_tokenised_once_for_each_length(tmp_path: Path, encoded: list[int]) -> None:
    source = tiny_checkpoint(
        "bert", tmp_path / "source", architecture="BertForSequenceClassification", num_labels=3
    )
    give_tokenizer(source)
    lines = [{"text": words(3 + i % 9), "label": i % 3} for i in range(40)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    plan = write_plan(tmp_path, STAGES.replace("192→256", "x2"), on="data.jsonl")
    out = run(plan, tmp_path / "run").out
    assert encoded == [40, 40]  # 12 tokens, and 6
    assert not (out / "tokens").exists()


def test_without_a_tokenizer_nothing_is_kept(tmp_path: Path) -> None:
    write_source(tmp_path)
    stopped(write_plan(tmp_path, STAGES), tmp_path / "run")
    assert not (tmp_path / "run" / "tokens").exists()


@pytest.mark.parametrize("sequences", [[], [[]], [[1, 2], [], [7]], [[2**32 - 1], [0] * 300]])
def test_sequences_in_one_array(sequences: list[list[int]], tmp_path: Path) -> None:
    flat = Kept(tmp_path / "kept").ids(("a", 1), lambda: packed(sequences))
    assert flat.dtype == np.uint32 and [each.tolist() for each in unpacked(flat)] == sequences
    again = Kept(tmp_path / "kept").ids(("a", 1), lambda: pytest.fail("made again"))
    assert again.tolist() == flat.tolist()
    assert Kept(tmp_path / "kept").ids(("a", 2), lambda: packed([[5]])).tolist() == [1, 1, 5]
    assert Kept(tmp_path / "kept").ids(("empty",), lambda: np.zeros(0)).size == 0
