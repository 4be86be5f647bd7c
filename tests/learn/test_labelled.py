"""Sequences with labels: read from records, filled up to a batch, and the loss that transformers takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.apply import apply
from growplan.checkpoint.verify import verify
from growplan.diagnostics import DiagnosticError
from growplan.learn.corpus import IGNORED
from growplan.learn.labelled import Labelled
from growplan.learn.loss import summed
from growplan.learn.model import Target
from growplan.learn.reading import read_corpus
from growplan.methods.operator import Recipe
from tests.learn.handmade import bound
from tests.learn.test_model import stored
from tests.learn.test_operators import plan_of
from tests.tiny import tiny_checkpoint

HEADS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert-sequence": ("bert", "BertForSequenceClassification", {"num_labels": 3}),
    "gpt2-sequence": ("gpt2", "GPT2ForSequenceClassification", {"num_labels": 3, "pad_token_id": 0}),
    "llama-sequence": ("llama", "LlamaForSequenceClassification", {"num_labels": 3, "pad_token_id": 0}),
    "roberta-sequence": ("roberta", "RobertaForSequenceClassification", {"num_labels": 3}),
    "bert-token": ("bert", "BertForTokenClassification", {"num_labels": 3}),
    "gpt2-token": ("gpt2", "GPT2ForTokenClassification", {"num_labels": 3}),
    "gpt2-answer": ("gpt2", "GPT2ForQuestionAnswering", {}),
    "qwen2-token": ("qwen2", "Qwen2ForTokenClassification", {"num_labels": 3, "pad_token_id": 0}),
    "mixtral-token": ("mixtral", "MixtralForTokenClassification", {"num_labels": 3}),
    "bert-answer": ("bert", "BertForQuestionAnswering", {}),
    "llama-answer": ("llama", "LlamaForQuestionAnswering", {"pad_token_id": 0}),
}
ROWS = torch.randint(4, 31, (40, 12), generator=torch.Generator().manual_seed(0)).tolist()
LENGTHS = [3 + (7 * i) % 10 for i in range(len(ROWS))]


def records(task: str) -> list[dict[str, Any]]:
    """Sequences of 3 to 12 tokens; the label of a token is one of its value."""
    out: list[dict[str, Any]] = []
    for row, length in zip(ROWS, LENGTHS, strict=True):
        ids = row[:length]
        labels = [token % 3 for token in ids]
        target = {
            "sequence": {"label": labels[0]},
            "token": {"labels": labels},
            "answer": {"start": 1, "end": 2},
        }
        out.append({"ids": ids, **target[task]})
    return out


def write(path: Path, found: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, found)), encoding="utf-8")
    return path


def source_of(name: str, folder: Path, **more: Any) -> Path:
    family, architecture, config = HEADS[name]
    return tiny_checkpoint(family, folder, architecture=architecture, **{**config, **more})


def corpus_of(source: Path, path: Path, **recipe: Any) -> Labelled:
    found = read_corpus(path, source, bound(source), Recipe(**{"batch": 6, "tokens": 20, **recipe}), "k")
    assert isinstance(found, Labelled)
    return found


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_is_that_of_transformers(name: str, tmp_path: Path) -> None:
    """Row by row, unfilled, through the loaded class with its own labels."""
    import transformers

    task = name.partition("-")[2]
    source = source_of(name, tmp_path / "m")
    model = bound(source)
    batch = corpus_of(source, write(tmp_path / "d.jsonl", records(task))).batch(0)
    assert batch.mask is not None and int((batch.mask == 0).sum()) > 0
    cls = getattr(transformers, model.architecture)
    stock = cls.from_pretrained(source, experts_implementation="eager").eval()
    expected = asked = 0.0
    with torch.no_grad():
        found = summed(Target(model)(stored(model, source), batch.inputs, batch.mask), batch.targets)
        for ids, mask, target in zip(batch.inputs, batch.mask, batch.targets, strict=True):
            ids, count = ids[None, mask.bool()], int((target != IGNORED).sum())
            given: Mapping[str, Any] = {"labels": target[None]}
            if task == "token":
                given = {"labels": target[None, mask.bool()]}
            elif task == "answer":
                given = {"start_positions": target[:1], "end_positions": target[1:]}
            expected += float(stock(input_ids=ids, **given).loss) * count
            asked += count
    assert asked == batch.asked()
    assert float(found) == pytest.approx(expected, rel=2e-5)


def test_batches_are_filled_up_and_parts_keep_their_masks(tmp_path: Path) -> None:
    source = source_of("bert-token", tmp_path / "m", pad_token_id=2)
    corpus = corpus_of(source, write(tmp_path / "d.jsonl", records("token")))
    batch = corpus.batch(3)
    assert batch.mask is not None
    empty = batch.mask == 0
    assert bool((batch.inputs[empty] == 2).all()) and bool((batch.targets[empty] == IGNORED).all())
    assert torch.equal(batch.targets[~empty], batch.inputs[~empty] % 3)
    parts = list(batch.parts(4))
    assert torch.equal(torch.cat([p.mask for p in parts if p.mask is not None]), batch.mask)
    assert torch.equal(corpus.batch(3).inputs, batch.inputs)
    assert corpus.facts() == {"sequences": 40, "held_out": 4}


def test_what_is_held_out_is_never_drawn(tmp_path: Path) -> None:
    found = [{"ids": [i + 1] * 4, "label": i % 3} for i in range(29)]
    source = source_of("bert-sequence", tmp_path / "m")
    corpus = corpus_of(source, write(tmp_path / "d.jsonl", found))
    held = {int(x) for batch in corpus.held_out() for x in batch.inputs[:, 0]}
    drawn = {int(x) for step in range(100) for x in corpus.batch(step).inputs[:, 0]}
    assert len(held) == 2 and drawn == set(range(1, 30)) - held


@pytest.mark.parametrize("task", ["token", "answer"])
def test_readers_that_cut_elsewhere_hold_out_the_same_sequences(task: str, tmp_path: Path) -> None:
    """Some ask something only of who reads them to the end: they are drawn, and never held out."""
    source = source_of(f"bert-{task}", tmp_path / "m")
    found = [
        {
            "ids": [i + 1] * 12,
            "start": (i % 3) * 5,
            "end": (i % 3) * 5,
            "labels": ([-100] * (i % 3) * 5 + [1] * 12)[:12],
        }
        for i in range(29)
    ]
    path, readers = write(tmp_path / "d.jsonl", found), ((2, 12), (8, 4))
    corpora = [
        read_corpus(path, source, bound(source), Recipe(batch=rows, tokens=tokens), "k", readers)
        for rows, tokens in readers
    ]
    held, drawn = (
        [{int(x) for batch in batches for x in batch.inputs[:, 0]} for batches in each]
        for each in (
            [corpus.held_out() for corpus in corpora],
            [[corpus.batch(step) for step in range(200)] for corpus in corpora],
        )
    )
    assert held[0] == held[1] and len(held[0]) == 1 and all(x % 3 == 1 for x in held[0])
    assert drawn[0] == set(range(1, 30)) - held[0]  # whole
    assert drawn[1] == {x for x in range(1, 30) if x % 3 == 1} - held[0]


def test_labels_by_name_and_other_words(tmp_path: Path) -> None:
    source = source_of("bert-sequence", tmp_path / "m", id2label={0: "no", 1: "yes", 2: "maybe"})
    found = [{"input_ids": [5, 6], "labels": 2}, {"ids": [5, 6, 7], "label": "yes"}]
    assert list(corpus_of(source, write(tmp_path / "d.jsonl", found)).targets) == [2, 1]
    answers = source_of("bert-answer", tmp_path / "a")
    found = [{"ids": [5, 6, 7], "start_positions": 0, "end_positions": 2}] * 2
    assert list(corpus_of(answers, write(tmp_path / "e.jsonl", found)).targets) == [[0, 2]] * 2


def test_json_as_gradmax_takes_it(tmp_path: Path) -> None:
    found = records("token")
    whole = {"ids": [each["ids"] for each in found], "labels": [each["labels"] for each in found]}
    (tmp_path / "d.json").write_text(json.dumps(whole))
    source = source_of("bert-token", tmp_path / "m")
    lines = corpus_of(source, write(tmp_path / "d.jsonl", found))
    assert corpus_of(source, tmp_path / "d.json").batch(0).inputs.equal(lines.batch(0).inputs)


def test_texts_are_cut_with_their_ends(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    source = source_of("bert-sequence", tmp_path / "m")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=50)
    tokenizer.enable_truncation(max_length=3)
    tokenizer.save(str(source / "tokenizer.json"))
    found = [{"text": "a b c d e f", "label": 0}, {"text": "a", "label": 1}]
    corpus = corpus_of(source, write(tmp_path / "d.jsonl", found), tokens=5)
    assert [ids.tolist() for ids in corpus.sequences] == [[2, 5, 6, 7, 3], [2, 5, 3]]


def test_what_asks_nothing_is_left_out(tmp_path: Path) -> None:
    """A row without labels, an answer behind the tokens that are read."""
    source = source_of("bert-token", tmp_path / "m")
    silent = [{"ids": [5, 6], "labels": [IGNORED, IGNORED]}, *records("token")]
    assert len(corpus_of(source, write(tmp_path / "d.jsonl", silent)).targets) == 40
    answers = source_of("bert-answer", tmp_path / "a")
    late = [{"ids": [5] * 9, "start": 7, "end": 8}, *records("answer")]
    assert len(corpus_of(answers, write(tmp_path / "e.jsonl", late), tokens=6).targets) == 40


WRONG: list[tuple[str, Any, str]] = [
    ("bert-sequence", {"ids": [5, 6]}, "GP558: .*line 2, has no label"),
    ("bert-sequence", {"ids": [5, 6], "label": 3}, "GP558: .*line 2, has the label 3"),
    ("bert-sequence", {"ids": [5, 6], "label": "new"}, "GP558: .*line 2, has the label 'new'"),
    ("bert-sequence", {"ids": [5, 6], "label": 0.5}, "GP558: .*line 2, has the label 0.5"),
    ("bert-sequence", {"ids": [], "label": 0}, "GP522: .*line 2, has no tokens"),
    ("bert-sequence", {"label": 0}, "GP522: .*line 2, has no `text`"),
    ("bert-sequence", {"ids": [99], "label": 0}, "GP522: .*the id 99, outside"),
    ("bert-token", {"ids": [5, 6], "labels": [1]}, "GP558: .*does not have a label for every token"),
    ("bert-token", {"ids": [5, 6], "labels": 1}, "GP558: .*line 2, has the label 1"),
    ("bert-token", {"ids": [5, 6], "labels": [1, 7]}, "GP558: .*has the label 7"),
    ("bert-answer", {"ids": [5, 6], "start": 1}, "GP558: .*does not say at which token"),
    ("bert-answer", {"ids": [5, 6], "start": 1, "end": 0}, "GP558: .*does not say at which token"),
]


@pytest.mark.parametrize(("name", "wrong", "expected"), WRONG)
def test_mistakes_are_told_with_their_line(name: str, wrong: Any, expected: str, tmp_path: Path) -> None:
    source = source_of(name, tmp_path / "m")
    good = records(name.partition("-")[2])
    path = write(tmp_path / "d.jsonl", [good[0], wrong, *good[1:]])
    with pytest.raises(DiagnosticError, match=expected) as caught:
        corpus_of(source, path)
    assert all(d.help for d in caught.value.diagnostics)


def test_one_sequence_is_too_little(tmp_path: Path) -> None:
    source = source_of("bert-sequence", tmp_path / "m")
    with pytest.raises(DiagnosticError, match="GP531: 1 labelled sequence"):
        corpus_of(source, write(tmp_path / "d.jsonl", records("sequence")[:1]))


def test_the_last_token_is_found_by_its_padding(tmp_path: Path) -> None:
    source = source_of("gpt2-sequence", tmp_path / "m", pad_token_id=None)
    path = write(tmp_path / "d.jsonl", records("sequence"))
    with pytest.raises(DiagnosticError, match="GP557: GPT2ForSequenceClassification finds the end") as caught:
        corpus_of(source, path)
    assert "pad_token_id" in caught.value.diagnostics[0].help[0]
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "pad_token_id": 0}))
    assert corpus_of(source, path).pad == 0


@pytest.mark.parametrize("name", ["gpt2-sequence", "bert-token", "bert-answer"])
def test_from_plan_to_checkpoint(name: str, tmp_path: Path) -> None:
    """A head learns what tokens say of labels, and the written directory loads clean."""
    source_of(name, tmp_path / "m")
    write(tmp_path / "d.jsonl", records(name.partition("-")[2]))
    ffn = "192→200" if name.startswith("gpt2") else "80→96"
    line = f"grow hidden 48→64, heads 6→8, ffn {ffn}, depth 2→3 via ligo on d.jsonl for 12 steps"
    result = apply(plan_of(tmp_path, line, options=", lr 0.01, batch 8, warmup 2"), stock=True)
    (fitted,) = result.fitted
    assert fitted.after < fitted.before and fitted.counts == {"sequences": 40, "held_out": 4}
    assert result.stock is not None and not verify(tmp_path / "g")
