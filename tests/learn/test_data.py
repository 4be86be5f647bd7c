"""A user's data in every form, and everything that can be wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from growplan.check.typed import TypedPlan
from growplan.diagnostics import DiagnosticError
from growplan.learn.batch import IGNORED, pieces
from growplan.learn.data import Data, inspect, mask_token, read_data
from growplan.learn.place import data_path
from growplan.learn.tokenizer import mask_id
from tests.check.models import check

VOCAB = 31


def read(path: Path, batch: int = 4, length: int = 3, vocab: int = VOCAB) -> Data:
    return read_data(path, path.parent, vocab, batch, length)


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_one_long_text_is_cut_into_windows(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", list(range(11)))
    assert read(path).sequences == ((0, 1, 2), (3, 4, 5), (6, 7, 8))
    assert read(path, batch=2).sequences == ((0, 1, 2), (3, 4, 5))
    assert read(path, length=100).sequences == (tuple(range(11)),)


def test_sequences_stay_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", [[1, 2], [3, 4, 5, 6]])
    assert read(path).sequences == ((1, 2), (3, 4, 5))


def test_labels_come_with_their_sequences(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", {"ids": [[1, 2], [3, 4, 5, 6]], "labels": [1, 0]})
    assert read(path).labels == (1, 0)
    path = written(tmp_path, "a.json", {"ids": [[1, 2, 3, 4]], "labels": [[0, -100, 1, 1]]})
    assert read(path).labels == ((0, -100, 1),)


@pytest.mark.parametrize("array", [np.arange(8), np.arange(8, dtype=np.uint16), np.arange(8).reshape(2, 4)])
def test_numpy(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    first = (0, 1, 2)
    assert read(tmp_path / "a.npy").sequences[0] == first


def test_bytes_need_no_tokenizer(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", "aé")
    assert read(path, vocab=256).sequences == ((0x61, 0xC3, 0xA9),)


def test_a_text_is_read_by_the_tokenizer_of_the_source(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"the": 0, "cat": 1, "sat": 2, "[MASK]": 7}, unk_token="the"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert read(written(tmp_path, "a.txt", "the cat sat")).sequences == ((0, 1, 2),)
    written(tmp_path, "tokenizer_config.json", {"mask_token": {"content": "[MASK]"}})
    assert mask_id(tmp_path) == 7
    assert mask_token(tmp_path, 3, VOCAB) == 3, "the plan's own word goes first"
    written(tmp_path, "tokenizer.json", "{}")
    assert refused(written(tmp_path, "a.txt", "the cat")) == "GP522"


def test_the_mask_token_of_a_word_list(tmp_path: Path) -> None:
    written(tmp_path, "vocab.txt", "a\nb\n[MASK]\n")
    written(tmp_path, "special_tokens_map.json", {"mask_token": "[MASK]"})
    assert mask_id(tmp_path) == 2


def refused(path: Path, **more: int) -> str:
    with pytest.raises(DiagnosticError) as error:
        read(path, **more)
    (d,) = error.value.diagnostics
    assert d.help
    return d.code


WRONG = {
    "empty.txt": ("", "GP521"),
    "no-tokenizer.txt": ("words", "GP522"),
    "broken.json": ("[1, 2", "GP522"),
    "words.json": (["a", "b"], "GP522"),
    "float.json": ([1.5, 2.0], "GP522"),
    "truth.json": ([True, False], "GP522"),
    "mixed.json": ([[1, 2], 3], "GP522"),
    "number.json": (7, "GP522"),
    "nothing.json": ([], "GP522"),
    "one.json": ([1], "GP522"),
    "short.json": ([[1, 2], [3]], "GP522"),
    "outside.json": ([1, VOCAB], "GP522"),
    "negative.json": ([1, -1], "GP522"),
    "no-ids.json": ({"labels": [1]}, "GP522"),
    "few-labels.json": ({"ids": [[1, 2], [3, 4]], "labels": [1]}, "GP522"),
    "flat-labels.json": ({"ids": [1, 2], "labels": [1, 2]}, "GP522"),
    "long-labels.json": ({"ids": [[1, 2]], "labels": [[1, 2, 3]]}, "GP522"),
    "text.npy": ("not numpy", "GP522"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_data_is_refused(name: str, tmp_path: Path) -> None:
    content, code = WRONG[name]
    assert refused(written(tmp_path, name, content)) == code


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing.json") == "GP521"
    (tmp_path / "folder.json").mkdir()
    assert refused(tmp_path / "folder.json") == "GP521"
    for name, array in (("f.npy", np.ones(4)), ("d.npy", np.ones((2, 2, 2), int))):
        np.save(tmp_path / name, array)
        assert refused(tmp_path / name) == "GP522"
    (tmp_path / "cut.npy").write_bytes((tmp_path / "f.npy").read_bytes()[:40])
    assert refused(tmp_path / "cut.npy") == "GP522"


CHECKED = sorted(name for name in WRONG if name.endswith(".json"))


@pytest.mark.parametrize("name", CHECKED)
def test_check_says_what_apply_would(name: str, tmp_path: Path) -> None:
    content, code = WRONG[name]
    path = written(tmp_path, name, content)
    with pytest.raises(DiagnosticError) as error:
        inspect(path, tmp_path, VOCAB, 4, 3, weights=True)
    assert [d.code for d in error.value.diagnostics] == [code]


@pytest.mark.parametrize(
    "array",
    [np.ones(4), np.ones((2, 2, 2), int), np.array([1, "a"], object), np.array([True, False]), np.array(3)],
)
def test_check_reads_the_header_of_an_array(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DiagnosticError) as error:
        inspect(tmp_path / "a.npy", tmp_path, VOCAB, 4, 3, weights=True)
    assert [d.code for d in error.value.diagnostics] == ["GP522"]
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:20])
    with pytest.raises(DiagnosticError):
        inspect(tmp_path / "cut.npy", tmp_path, VOCAB, 4, 3, weights=True)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, ">i4"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_check_accepts_any_whole_numbers(dtype: object, version: tuple[int, int], tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, np.arange(8).astype(dtype), version)
    inspect(tmp_path / "a.npy", tmp_path, VOCAB, 4, 3, weights=True)
    inspect(written(tmp_path, "a.json", [1, 2, 3]), tmp_path, VOCAB, 4, 3, weights=True)


def test_findings_name_a_file_without_detours(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "m").mkdir()
    assert data_path("../m/x.txt", tmp_path / "p") == tmp_path / "m" / "x.txt"
    assert data_path("../m/x.txt", Path("../p")) == Path("../m/x.txt")
    (tmp_path / "q").symlink_to(tmp_path / "p" / "deep", target_is_directory=True)
    (tmp_path / "p" / "deep").mkdir()
    assert data_path("../x.txt", tmp_path / "q") == tmp_path / "q" / ".." / "x.txt", "a link's own parent"


def test_a_mask_token_that_nothing_names(tmp_path: Path) -> None:
    for given, code in ((None, "GP523"), (VOCAB, "GP522")):
        with pytest.raises(DiagnosticError) as error:
            mask_token(tmp_path, given, VOCAB)
        assert error.value.diagnostics[0].code == code


# what a plan may ask for ---------------------------------------------------------------------------


def typed(name: str, step: str, **config: object) -> TypedPlan:
    return check(name, f"widen ffn {step}, data a.json", **config)


CLASSIFY = {"architectures": ["BertForSequenceClassification"]}
MISTAKES = [
    ("gpt2", "3072→3100 via gradmax", {"activation_function": "relu"}, "GP524"),
    ("gpt2", "3072→3900 via gradmax", {}, "GP525"),
    ("gpt2", "3072→3100 via gradmax", {"architectures": ["GPT2Model"]}, "GP523"),
    ("bert", "1536→1600 via gradmax", {"architectures": ["BertForQuestionAnswering"]}, "GP523"),
    ("bert", "1536→1600 via gradmax", {**CLASSIFY, "num_labels": 1}, "GP523"),
    ("vit", "3072→3100 via gradmax", {}, "GP523"),
    ("mixtral", "1536→1544 via gradmax", {}, "GP524"),
    ("gpt2", "3072→3100 via gradmax, batch 0", {}, "GP116"),
    ("gpt2", "3072→3100 via gradmax, length 2.5", {}, "GP116"),
    ("gpt2", "3072→3100 via gradmax, scale none", {}, "GP116"),
]


@pytest.mark.parametrize(("name", "step", "config", "code"), MISTAKES, ids=[m[1] + m[3] for m in MISTAKES])
def test_what_cannot_be_measured_is_refused(name: str, step: str, config: dict, code: str) -> None:
    with pytest.raises(DiagnosticError) as error:
        typed(name, step, **config)
    (d,) = error.value.diagnostics
    assert d.code == code and d.span is not None and d.help


def test_data_must_be_named() -> None:
    with pytest.raises(DiagnosticError) as error:
        check("gpt2", "widen ffn 3072→3100 via gradmax")
    assert error.value.diagnostics[0].code == "GP520"


def test_the_ways_out_of_too_many_units_work() -> None:
    with pytest.raises(DiagnosticError) as error:
        typed("gpt2", "3072→4000 via gradmax")
    most = 3072 + 767  # hidden 768, less the one direction that LayerNorm drops
    assert error.value.diagnostics[0].help[0] == f"`widen ffn 3072→{most}` at most"
    assert str(typed("gpt2", f"3072→{most} via gradmax").claim) == "exact"


def test_options_reach_what_measures() -> None:
    fit = typed("gpt2", "3072→3100 via gradmax, batch 2, length 9, scale 0.5, mask 4").steps[0].fit
    assert fit is not None
    assert (fit.data, fit.batch, fit.length, fit.scale, fit.mask) == ("a.json", 2, 9, 0.5, 4)
    (step,) = check("gpt2", "grow ffn to 3100 via gradmax on b.json").steps
    assert step.fit is not None and (step.fit.data, step.fit.scale, step.fit.mask) == ("b.json", None, None)


# batches ---------------------------------------------------------------------------------------------


def batch(name: str, data: Data, mask: int | None = None, **config: object) -> list:
    sizes = "1536→1600" if name == "bert" else "3072→3100"
    (step,) = typed(name, f"{sizes} via gradmax", **config).steps
    assert step.fit is not None
    return pieces(data, step.fit, step.before, mask, "key")


def test_the_next_token_is_the_target() -> None:
    (piece,) = batch("gpt2", Data(((1, 2, 3),), None, ""))
    assert piece.ids.tolist() == [[1, 2, 3]] and piece.targets.tolist() == [[2, 3, IGNORED]]


def test_masked_tokens_are_the_targets_and_repeat() -> None:
    data = Data(tuple(tuple(range(10, 30)) for _ in range(20)), None, "")
    config = {"architectures": ["BertForMaskedLM"]}
    (piece,) = batch("bert", data, 3, **config)
    hidden = piece.ids == 3
    assert (piece.targets[~hidden] == IGNORED).all()
    assert (piece.targets[hidden] == (hidden.nonzero()[:, 1] + 10)).all()
    assert 0.1 < hidden.double().mean() < 0.2
    assert piece.ids.tolist() == batch("bert", data, 3, **config)[0].ids.tolist()
    (one,) = batch("bert", Data(((7, 8),), None, ""), 3, **config)
    assert (one.ids == 3).any(), "one token at least"


LABELS = {
    "none": (None, "GP523"),
    "outside": ((2, 0), "GP522"),
    "per token": (((0, 1), (1, 0)), "GP522"),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_that_do_not_fit(name: str) -> None:
    labels, code = LABELS[name]
    with pytest.raises(DiagnosticError) as error:
        batch("gpt2", Data(((1, 2), (3, 4)), labels, ""), architectures=["GPT2ForSequenceClassification"])
    assert error.value.diagnostics[0].code == code


def test_token_labels() -> None:
    config = {"architectures": ["BertForTokenClassification"]}
    (piece,) = batch("bert", Data(((1, 2),), ((1, -100),), ""), **config)
    assert piece.targets.tolist() == [[1, -100]]
    for labels in (((-100, -100),), (1,)):
        with pytest.raises(DiagnosticError):
            batch("bert", Data(((1, 2),), labels, ""), **config)


def test_a_language_model_has_no_use_for_labels() -> None:
    with pytest.raises(DiagnosticError):
        batch("gpt2", Data(((1, 2),), (1,), ""))
