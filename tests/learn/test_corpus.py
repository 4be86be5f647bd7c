"""Batches are pure functions of (key, step), nothing held out is drawn, and every mistake is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from growplan.diagnostics import DiagnosticError
from growplan.learn import tokenizer as learn_tokenizer
from growplan.learn.corpus import IGNORED, Batch, Images, Tokens
from growplan.learn.overlap import windows_repeated
from growplan.learn.reading import read_corpus
from growplan.methods.operator import Recipe
from tests.learn.handmade import bound
from tests.tiny import tiny_checkpoint

RECIPE = Recipe(batch=4, tokens=6)


def text(count: int = 1000, **changes: Any) -> Tokens:
    given: dict[str, Any] = {"task": "causal", "rows": 4, "length": 6, "key": "k", "vocab": 5000, **changes}
    return Tokens(np.arange(count, dtype=np.uint16), "sha", **given)


def images(count: int = 200, **changes: Any) -> Images:
    pixels = np.arange(count, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 4, 4), np.float32)
    given: dict[str, Any] = {"rows": 8, "size": 4, "key": "k", **changes}
    return Images(pixels, np.arange(count) % 7, "sha", **given)


def same(a: Batch, b: Batch) -> bool:
    return torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets)


@pytest.mark.parametrize("make", [text, lambda: text(task="masked", mask=5), images])
def test_a_batch_depends_on_its_number_alone(make: Callable[[], Tokens | Images]) -> None:
    first, second = make(), make()
    later = first.batch(7)
    for step in range(7):
        second.batch(step)
    assert same(later, second.batch(7))
    assert not same(later, first.batch(8))
    assert all(same(a, b) for a, b in zip(first.held_out(), second.held_out(), strict=True))


def test_another_key_draws_other_batches() -> None:
    assert not same(text().batch(0), text(key="other").batch(0))
    assert not same(images().batch(0), images(key="other").batch(0))


def test_causal_targets_are_the_next_tokens() -> None:
    batch = text().batch(3)
    assert batch.inputs.shape == (4, 6) and batch.inputs.dtype == torch.int64
    assert torch.equal(batch.targets[:, :-1], batch.inputs[:, 1:])
    assert (batch.targets[:, -1] == IGNORED).all() and batch.asked() == 20
    assert torch.equal(batch.inputs, batch.inputs[:, :1] + torch.arange(6))


def test_what_is_held_out_is_never_drawn() -> None:
    corpus = text()
    held = set(torch.cat([batch.inputs.flatten() for batch in corpus.held_out()]).tolist())
    drawn = set(torch.cat([corpus.batch(step).inputs.flatten() for step in range(2000)]).tolist())
    assert held == set(range(1000 - 50, 1000 - 50 + len(held))) and len(held) == 48
    assert not held & drawn and drawn == set(range(950))
    pictures = images()
    seen = {x for step in range(200) for x in pictures.batch(step).inputs[:, 0, 0, 0].tolist()}
    out = {x for batch in pictures.held_out() for x in batch.inputs[:, 0, 0, 0].tolist()}
    assert len(out) == 20 and seen == set(map(float, range(200))) - out


READERS = ((4, 6), (8, 12), (2, 30))


def test_readers_of_one_text_hold_out_the_same_part() -> None:
    """As much as the largest of them alone would, in batches of their own."""
    own = {(rows, length): text(4000, rows=rows, length=length) for rows, length in READERS}
    shared = {each: text(4000, rows=each[0], length=each[1], readers=READERS) for each in READERS}
    firsts = {each: int(corpus.held_out()[0].inputs.min()) for each, corpus in shared.items()}
    assert set(firsts.values()) == {min(int(corpus.held_out()[0].inputs.min()) for corpus in own.values())}
    (begin,) = set(firsts.values())
    for (rows, length), corpus in shared.items():
        held = torch.cat([batch.inputs.flatten() for batch in corpus.held_out()])
        assert held.tolist() == list(range(begin, begin + len(held))) and 4000 - begin - len(held) < length
        assert all(len(batch.inputs) == rows for batch in corpus.held_out()[:-1])
        assert max(int(corpus.batch(step).inputs.max()) for step in range(500)) < begin
    assert firsts[8, 12] < min(int(own[4, 6].held_out()[0].inputs.min()), 4000 - 30)


def test_what_is_asked_of_held_out_windows_does_not_depend_on_the_rows() -> None:
    few, many = (
        text(3000, task="masked", mask=4999, rows=rows, length=10, edges=(1, 2), readers=((3, 10), (7, 10)))
        for rows in (3, 7)
    )
    for part in ("inputs", "targets"):
        a, b = (torch.cat([getattr(batch, part) for batch in each.held_out()]) for each in (few, many))
        assert torch.equal(a, b) and len(a) % 3 != len(a) % 7  # the last batches are not full


def test_a_text_too_short_for_one_of_its_readers() -> None:
    with pytest.raises(DiagnosticError, match=r"GP531: 40 tokens are too few for windows of 30: 60"):
        text(40, readers=((1, 30),))


def test_readers_of_the_same_images_hold_out_the_same_ones() -> None:
    def numbers(batches: Iterable[Batch]) -> set[float]:
        return {x for batch in batches for x in batch.inputs[:, 0, 0, 0].tolist()}

    few, many = (images(200, rows=rows, readers=((1, 0), (2, 0))) for rows in (1, 2))
    assert numbers(few.held_out()) == numbers(many.held_out()) and len(numbers(few.held_out())) == 16
    assert len(numbers(images(200, rows=1).held_out())) == 8
    assert not numbers(few.held_out()) & numbers(few.batch(step) for step in range(300))


def test_masked_tokens_are_hidden_changed_or_left() -> None:
    """15 % are asked for; of these 80 % are the mask, 10 % are any token, 10 % stand, as BERT has it."""
    corpus = text(task="masked", mask=4999, rows=400, length=40, edges=(1, 2))
    batch = corpus.batch(0)
    assert (batch.inputs[:, 0] == 1).all() and (batch.inputs[:, -1] == 2).all()
    asked = batch.targets != IGNORED
    assert not asked[:, 0].any() and not asked[:, -1].any() and asked.any(1).all()
    assert 0.13 < asked[:, 1:-1].float().mean() < 0.18
    read, said = batch.inputs[asked], batch.targets[asked]
    hidden, stands = read == 4999, read == said
    others = read[~hidden & ~stands]
    assert 0.77 < hidden.float().mean() < 0.83 and 0.08 < stands.float().mean() < 0.12
    assert 0.08 < len(others) / len(read) < 0.12
    assert len(others.unique()) > 0.8 * len(others) and others.max() > 4000 and others.min() < 1000
    whole = torch.where(asked, batch.targets, batch.inputs)[:, 1:-1]
    assert torch.equal(whole, whole[:, :1] + torch.arange(38))


def test_parts_of_a_batch_are_its_rows() -> None:
    batch = text(rows=5).batch(0)
    parts = list(batch.parts(3))
    assert [len(part.inputs) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part.inputs for part in parts]), batch.inputs)
    assert len(list(text(rows=2).batch(0).parts(4))) == 2


@pytest.mark.parametrize("count", [12, 13, 40])
def test_a_short_text_still_holds_out_a_window(count: int) -> None:
    corpus = text(count)
    assert sum(len(batch.inputs) for batch in corpus.held_out()) >= 1
    assert int(corpus.batch(0).inputs.max()) < int(corpus.held_out()[0].inputs.min())


def test_too_little_is_told() -> None:
    with pytest.raises(DiagnosticError, match=r"GP531: 11 tokens are too few for windows of 6: 12"):
        text(11)
    with pytest.raises(DiagnosticError, match=r"GP531: 1 image"):
        images(1)


def test_what_is_held_out_and_drawn_too_is_counted() -> None:
    """Windows that stand in the rest, at a token's place; rows that are there twice."""
    ids = np.tile(np.arange(300, dtype=np.uint16), 20)
    twice = Tokens(ids, "sha", "causal", 4, 32, "k", vocab=5000)
    assert twice.facts() == {"tokens": 6000, "held_out": 300, "repeated": 9 * 32}
    assert text(6000, length=32).facts() == {"tokens": 6000, "held_out": 300}
    shifted = np.frombuffer(b"\0" + ids.tobytes()[:-1], np.uint16)  # the same bytes, inside of tokens
    assert windows_repeated(np.concatenate([shifted, ids]), 6000, [6000], 32) == 0
    assert windows_repeated(ids, 300, [600], 8) == 0  # short windows are the same by chance
    assert images().facts() == {"images": 200, "held_out": 20}
    pixels = np.zeros((200, 1, 4, 4), np.float32)
    same = Images(pixels, np.zeros(200, int), "sha", 8, 4, "k")
    assert same.facts() == {"images": 200, "held_out": 20, "repeated": 20}


def test_images_are_normalised_and_resized() -> None:
    batch = images(scale=2.0, mean=(1.0,), std=(4.0,)).batch(0)
    plain = images().batch(0)
    torch.testing.assert_close(batch.inputs, (plain.inputs * 2 - 1) / 4)
    assert images(size=7).batch(0).inputs.shape == (8, 1, 7, 7)


# files ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint("gpt2", tmp_path_factory.mktemp("gpt2") / "m", vocab_size=256, eos_token_id=0)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a tokenizer that knows letters, and puts [CLS] and [SEP] around a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    path = tmp_path_factory.mktemp("bert") / "m"
    tiny_checkpoint("bert", path, architecture="BertForMaskedLM")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text('{"mask_token": "[MASK]"}')
    return path


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint("vit", tmp_path_factory.mktemp("vit") / "m", num_labels=3)


def read(path: Path, source: Path, recipe: Recipe = RECIPE, mask: int | None = None) -> Any:
    return read_corpus(path, source, bound(source), replace(recipe, mask=mask), "k")


def test_bytes_of_a_text(tmp_path: Path, gpt2: Path) -> None:
    (tmp_path / "a.txt").write_text("größer" * 20, encoding="utf-8")
    corpus = read(tmp_path / "a.txt", gpt2)
    assert bytes(corpus.ids.tolist()).decode() == "größer" * 20
    assert corpus.edges is None and corpus.task == "causal" and len(corpus.sha256) == 64


def test_lines_of_json(tmp_path: Path, gpt2: Path) -> None:
    lines = [json.dumps({"text": "ab" * 9}), "", json.dumps({"text": "é", "more": 1})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert read(tmp_path / "a.jsonl", gpt2).ids.tolist() == [*b"ab" * 9, 0, *"é".encode(), 0]


def test_ids_in_numpy_and_raw(tmp_path: Path, gpt2: Path) -> None:
    ids = np.arange(200, dtype=np.uint16)
    np.save(tmp_path / "a.npy", ids.reshape(20, 10))
    ids.tofile(tmp_path / "a.bin")
    for name in ("a.npy", "a.bin"):
        assert read(tmp_path / name, gpt2).ids.tolist() == ids.tolist()


def test_a_tokenizer_reads_and_masks(tmp_path: Path, bert: Path) -> None:
    (tmp_path / "a.txt").write_text("a b c d e f g h " * 9)
    corpus = read(tmp_path / "a.txt", bert)
    assert corpus.ids[:9].tolist() == [5, 6, 7, 8, 9, 10, 11, 12, 5]
    assert corpus.mask == 4 and corpus.edges == (2, 3) and corpus.task == "masked"
    assert (corpus.batch(0).inputs[:, 0] == 2).all()
    np.save(tmp_path / "a.npy", np.full(100, 6))
    ids = read(tmp_path / "a.npy", bert, mask=7)
    assert ids.edges is None and ids.mask == 7


def test_what_a_tokenizer_says_of_cutting_is_left_aside(
    tmp_path: Path, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many a tokenizer.json cuts at 128 tokens and fills up to as many; a long text is read in pieces."""
    from tokenizers import Tokenizer

    source = tiny_checkpoint("bert", tmp_path / "m", architecture="BertForMaskedLM")
    (source / "tokenizer_config.json").write_text('{"mask_token": "[MASK]"}')
    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))
    tokenizer.enable_truncation(max_length=7)
    tokenizer.enable_padding(length=7)
    tokenizer.save(str(source / "tokenizer.json"))
    (tmp_path / "a.txt").write_text("a b c d e f g h\n" * 50)
    for piece in (1 << 20, 40, 9, 3):
        monkeypatch.setattr(learn_tokenizer, "PIECE", piece)
        corpus = read(tmp_path / "a.txt", source)
        assert corpus.ids.tolist() == [*range(5, 13)] * 50 and corpus.edges == (2, 3)
    from growplan.learn.data import read_data

    assert read_data(tmp_path / "a.txt", source, 31, 10, 40).tokens == 400


def test_images_in_numpy(tmp_path: Path, vit: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 20, 2), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(30) % 3)
    corpus = read(tmp_path / "a.npz", vit)
    assert corpus.pixels.shape == (30, 2, 20, 20)
    inputs = corpus.batch(0).inputs
    assert inputs.shape == (4, 2, 20, 20) and -1 <= float(inputs.min()) < float(inputs.max()) <= 1
    floats = pixels.transpose(0, 3, 1, 2).astype("float32") / 16
    np.savez(tmp_path / "b.npz", images=floats, labels=np.arange(30) % 3)
    assert float(read(tmp_path / "b.npz", vit).batch(0).inputs.max()) > 10


def test_an_image_processor_normalises(tmp_path: Path) -> None:
    vit = tiny_checkpoint("vit", tmp_path / "m", num_labels=3)
    (vit / "preprocessor_config.json").write_text('{"image_mean": [0.25, 0.5], "image_std": [0.5, 0.25]}')
    np.savez(tmp_path / "a.npz", images=np.full((9, 2, 20, 20), 51, np.uint8), labels=np.arange(9) % 3)
    inputs = read(tmp_path / "a.npz", vit).batch(0).inputs
    torch.testing.assert_close(inputs[0, :, 0, 0], torch.tensor([-0.1, -1.2]))


WRONG: list[tuple[str, bytes | dict[str, Any] | None, str]] = [
    ("none.txt", None, "GP521: there is no file"),
    ("a.txt", b"", "GP521.*is empty"),
    ("a.txt", b"short", "GP531: 5 tokens"),
    ("a.jsonl", b'{"text": 3}', "GP522.*line 1, has no `text`"),
    ("a.jsonl", b'{"text": "abc"}\n[1]', "GP522.*line 2, has no `text`"),
    ("a.jsonl", b'{"text": "abc"}\n{', "GP522.*line 2, is no JSON"),
    ("a.bin", b"abc", "GP522.*3 bytes, no multiple of 2"),
    ("a.bin", b"\xff\xff" * 40, "GP522.*the id 65535, outside the model's vocab of 256"),
    ("a.npy", b"no numpy", "GP522.*cannot be read"),
    ("a.txt", b"ab\0cd", "GP522.*is no text: byte 2 is 0"),
    ("a.txt.gz", b"ab", "GP522.*is no text"),
    ("a.parquet", b"PAR1", "GP522.*is no text"),
    ("a.json", b"{}", "GP522.*does not hold token ids"),
    ("a.json", b'[1, "a"]', "GP522.*`ids` that are no list of whole numbers"),
    ("a.json", b"[1, 2, 999]", "GP522.*the id 999, outside"),
    ("a.json", b"[1", "GP522.*is no JSON"),
    ("a.jsonl", b'{"ids": [1, true]}', "GP522.*line 1, has `ids` that are no list"),
    ("a.jsonl", b'{"ids": [1, -1]}', "GP522.*the id -1, outside"),
    ("a.npz", {"images": np.zeros((3, 2, 2))}, "GP522.*holds images, and the model reads token ids"),
]


@pytest.mark.parametrize(("name", "content", "expected"), WRONG)
def test_what_is_no_text_is_told(
    tmp_path: Path, gpt2: Path, name: str, content: bytes | dict[str, Any] | None, expected: str
) -> None:
    _write(tmp_path / name, content)
    with pytest.raises(DiagnosticError, match=expected) as caught:
        read(tmp_path / name, gpt2)
    assert all(d.help for d in caught.value.diagnostics)


def _image(
    shape: tuple[int, ...] = (9, 2, 20, 20), labels: Any = None, kind: str = "uint8"
) -> dict[str, Any]:
    return {"images": np.zeros(shape, kind), "labels": np.arange(shape[0]) % 3 if labels is None else labels}


WRONG_IMAGES: list[tuple[str, bytes | dict[str, Any], str]] = [
    ("a.txt", b"text", "GP522.*holds no images, and the model reads images"),
    ("a.npz", b"text", "GP522.*cannot be read"),
    ("a.npz", {"x": np.zeros(3)}, "GP522.*has no `images`, but x"),
    ("a.npz", {"images": np.zeros(3)}, "GP522.*has no `labels`, but images"),
    ("a.npz", _image((9, 3, 20, 20)), "GP522.*images of 3x20x20"),
    ("a.npz", _image((9, 20, 20)), "GP522.*images of 20x20"),
    ("a.npz", _image((9, 2, 20, 10)), "GP522.*images of 2x20x10"),
    ("a.npz", _image(kind="bool"), "GP522.*holds bool"),
    ("a.npz", _image(labels=np.arange(8)), r"GP522.*labels int64\[8\] for 9 images"),
    ("a.npz", _image(labels=np.arange(9)), "GP558.*has the label 8, and the model 3 classes"),
    ("a.npz", _image(labels=np.arange(9) - 1), "GP558.*has the label -1"),
    ("a.npz", _image(kind="float32") | {"images": np.full((9, 2, 20, 20), 255.0)}, "GP522.*pixels up to 255"),
    ("a.npz", {**_image(), "images": np.full((9, 2, 20, 20), np.nan)}, "GP522.*pixels up to nan"),
    ("a.jsonl", b'{"text": "a"}', "GP522.*holds no images, and the model reads images"),
    ("a.npz", _image((1, 2, 20, 20)), "GP531: 1 image"),
]


@pytest.mark.parametrize(("name", "content", "expected"), WRONG_IMAGES)
def test_what_is_no_images_is_told(
    tmp_path: Path, vit: Path, name: str, content: bytes | dict[str, Any], expected: str
) -> None:
    _write(tmp_path / name, content)
    with pytest.raises(DiagnosticError, match=expected) as caught:
        read(tmp_path / name, vit)
    assert all(d.help for d in caught.value.diagnostics)


def test_a_task_without_a_loss_is_told(tmp_path: Path, bert: Path) -> None:
    (tmp_path / "a.txt").write_text("a b " * 50)
    for architecture, expected in (
        ("BertModel", "GP523.*ends without a head"),
        ("BertForSequenceClassification", "GP558.*has no labels, and BertForSequenceClassification"),
        ("BertForTokenClassification", "GP558.*has no labels, and BertForTokenClassification"),
        ("BertForQuestionAnswering", "GP558.*has no labels, and BertForQuestionAnswering"),
    ):
        source = tiny_checkpoint("bert", tmp_path / architecture, architecture=architecture)
        with pytest.raises(DiagnosticError, match=expected):
            read(tmp_path / "a.txt", source)


def test_windows_longer_than_the_model_are_told(tmp_path: Path, gpt2: Path) -> None:
    (tmp_path / "a.txt").write_text("ab" * 500)
    with pytest.raises(DiagnosticError, match=r"GP531.*windows of 99 tokens, and the model has 24 positions"):
        read(tmp_path / "a.txt", gpt2, Recipe(tokens=99))


def test_a_masked_model_needs_its_mask(tmp_path: Path) -> None:
    source = tiny_checkpoint("bert", tmp_path / "m", architecture="BertForMaskedLM")
    np.save(tmp_path / "a.npy", np.full(100, 6))
    with pytest.raises(DiagnosticError, match=r"GP523.*which token masks another"):
        read(tmp_path / "a.npy", source)
    with pytest.raises(DiagnosticError, match=r"GP522.*mask token 31 lies outside"):
        read(tmp_path / "a.npy", source, mask=31)
    (tmp_path / "a.txt").write_text("some text")
    with pytest.raises(DiagnosticError, match=r"GP522.*has no tokenizer"):
        read(tmp_path / "a.txt", source, mask=3)


def _write(path: Path, content: bytes | dict[str, Any] | None) -> None:
    if isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        path.write_bytes(content)
