from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from growplan.checkpoint.sidecars import (
    Carry,
    Leave,
    Resize,
    Rewrite,
    carried_bytes,
    carry_sidecars,
    plan_sidecars,
)
from tests.checkpoint.made import failure

WIDER = Resize(hidden=(384, 768), depth=(6, 6))
DEEPER = Resize(hidden=(384, 384), depth=(6, 12))
SAME = Resize(hidden=(384, 384), depth=(6, 6))
POOLING = '{\n    "word_embedding_dimension": 384,\n    "pooling_mode_mean_tokens": true\n}'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A sentence-transformers directory with everything that lies about in one."""
    files = {
        "config.json": "{}",
        "model.safetensors": "weights",
        "growth.json": "{}",
        "tokenizer.json": "{}",
        "vocab.txt": "a\nb\n",
        "tokenizer.model": "sp",
        "generation_config.json": "{}",
        "chat_template.jinja": "{{ x }}",
        "LICENSE.txt": "Apache",
        "modeling_custom.py": "x = 1",
        "results.json": "[]",
        "README.source.md": "original",
        ".gitattributes": "x",
        ".DS_Store": "x",
        "pytorch_model.bin": "w",
        "model.fp16.safetensors": "w",
        "tf_model.h5": "w",
        "openvino_model.xml": "w",
        "optimizer.pt": "o",
        "trainer_state.json": "{}",
        "training_args.bin": "t",
        "rng_state_0.pth": "r",
        "onnx/model.onnx": "w",
        "checkpoint-500/model.safetensors": "w",
        "mine/notes.txt": "n",
        ".git/HEAD": "ref",
        "additional_chat_templates/tool.jinja": "{{ y }}",
        "modules.json": json.dumps(
            [
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {
                    "idx": 2,
                    "name": "2",
                    "path": "2_Normalize",
                    "type": "sentence_transformers.models.Normalize",
                },
            ]
        ),
        "sentence_bert_config.json": '{"max_seq_length": 256}',
        "config_sentence_transformers.json": "{}",
        "1_Pooling/config.json": POOLING,
    }
    folder = tmp_path / "source"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "2_Normalize").mkdir()
    return folder


def _carried(source: Path, resize: Resize | None) -> set[str]:
    return {a.path for a in plan_sidecars(source, resize) if isinstance(a, (Carry, Rewrite))}


def _left(source: Path) -> dict[str, str]:
    return {a.path: a.why for a in plan_sidecars(source) if isinstance(a, Leave)}


def test_what_is_carried(source: Path) -> None:
    assert _carried(source, WIDER) == {
        "tokenizer.json",
        "vocab.txt",
        "tokenizer.model",
        "generation_config.json",
        "chat_template.jinja",
        "LICENSE.txt",
        "modeling_custom.py",
        "results.json",
        "README.source.md",
        ".gitattributes",
        "additional_chat_templates/tool.jinja",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "1_Pooling/config.json",
    }


def test_what_stays_is_named_with_the_reason(source: Path) -> None:
    left = _left(source)
    assert {name for name, why in left.items() if "another format" in why} == {
        "pytorch_model.bin",
        "model.fp16.safetensors",
        "tf_model.h5",
        "openvino_model.xml",
        "onnx/",
    }
    assert {name for name, why in left.items() if "training" in why} == {
        "optimizer.pt",
        "trainer_state.json",
        "training_args.bin",
        "rng_state_0.pth",
        "checkpoint-500/",
    }
    assert {name for name, why in left.items() if "hidden" in why} == {".DS_Store", ".git/"}
    assert left["mine/"] == "an unknown folder"


def test_nothing_is_forgotten(source: Path) -> None:
    """Every entry of the source is carried, rewritten, named, or written anew."""
    seen = {a.path.split("/")[0] for a in plan_sidecars(source, WIDER)}
    anew = {"config.json", "model.safetensors", "growth.json"}
    assert seen | anew == {path.name for path in source.iterdir()}


def test_a_large_unknown_file_is_named(source: Path) -> None:
    with (source / "dump.json").open("wb") as file:
        file.truncate(20_000_000)
    assert _left(source)["dump.json"] == "an unknown file of 20.0 MB"


def test_performed(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    actions = plan_sidecars(source, WIDER)
    written = carry_sidecars(actions, source, out)
    assert set(written) == _carried(source, WIDER)
    assert (out / "2_Normalize").is_dir()
    assert (out / "1_Pooling" / "config.json").read_text() == POOLING.replace("384", "768")
    assert (out / "vocab.txt").read_bytes() == (source / "vocab.txt").read_bytes()
    assert carried_bytes(actions) == sum((out / name).stat().st_size for name in written)


# README ------------------------------------------------------------------------------------------


def _readme(source: Path) -> Any:
    return next(a for a in plan_sidecars(source) if a.path == "README.md")


def test_the_readme_of_the_source_is_kept_under_another_name(source: Path) -> None:
    (source / "README.md").write_text("about")
    assert isinstance(_readme(source), Leave)  # growplan's own card: the source has a growth.json
    (source / "growth.json").unlink()
    assert _readme(source) == Carry("README.md", "README.source-2.md", 5)
    (source / "README.source.md").unlink()
    assert _readme(source) == Carry("README.md", "README.source.md", 5)


# sentence-transformers ---------------------------------------------------------------------------


def _rewrites(source: Path, resize: Resize) -> dict[str, tuple[str, ...]]:
    return {a.path: a.changes for a in plan_sidecars(source, resize) if isinstance(a, Rewrite)}


def test_pooling_follows_the_width_and_nothing_else(source: Path) -> None:
    changed = {"1_Pooling/config.json": ("word_embedding_dimension 384→768",)}
    assert _rewrites(source, WIDER) == changed
    assert _rewrites(source, DEEPER) == {}
    assert _rewrites(source, SAME) == {}
    (source / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension": 512}')
    assert _rewrites(source, WIDER) == {}


def _dense(source: Path) -> None:
    modules = json.loads((source / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (source / "modules.json").write_text(json.dumps(modules))
    (source / "3_Dense").mkdir()
    (source / "3_Dense" / "config.json").write_text('{"in_features": 384, "out_features": 128}')
    (source / "3_Dense" / "model.safetensors").write_text("w")


def test_a_module_with_weights_is_refused_only_when_the_width_changes(source: Path) -> None:
    _dense(source)
    diagnostic = failure(lambda: plan_sidecars(source, WIDER))
    assert diagnostic.code == "GP440"
    assert "3_Dense" in diagnostic.message
    assert {"3_Dense/config.json", "3_Dense/model.safetensors"} <= _carried(source, DEEPER)


def test_a_module_made_for_the_old_layers_is_refused(source: Path) -> None:
    (source / "1_Pooling" / "config.json").write_text('{"num_hidden_layers": 6}')
    assert failure(lambda: plan_sidecars(source, DEEPER)).code == "GP440"
    assert _rewrites(source, WIDER) == {}


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", '[{"path": 3}]', '[{"path": "../x"}]', '[{"path": "/etc"}]', '[{"path": "a/../../x"}]'],
)
def test_a_bad_modules_file_is_a_diagnostic(text: str, source: Path) -> None:
    (source / "modules.json").write_text(text)
    assert failure(lambda: plan_sidecars(source, WIDER)).code == "GP441"


def test_a_bad_pooling_file_is_a_diagnostic(source: Path) -> None:
    for text in ("", "[]", '{"word_embedding_dimension": 384, "word_embedding_dimension": 384}'):
        (source / "1_Pooling" / "config.json").write_text(text)
        assert failure(lambda: plan_sidecars(source, WIDER)).code == "GP441"


# links -------------------------------------------------------------------------------------------


def test_links_that_lead_out_are_not_followed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("private")
    (source / "tokenizer_config.json").symlink_to(tmp_path / "secret" / "key")
    (source / "additional_chat_templates" / "stolen.jinja").symlink_to(tmp_path / "secret" / "key")
    (source / "2_Normalize").rmdir()
    (source / "2_Normalize").symlink_to(tmp_path / "secret")
    (source / "special_tokens_map.json").symlink_to(source / "tokenizer.json")
    (source / "merges.txt").symlink_to(tmp_path / "nowhere")
    left = _left(source)
    out = {"tokenizer_config.json", "additional_chat_templates/stolen.jinja", "2_Normalize", "merges.txt"}
    assert {name for name, why in left.items() if "leads out" in why} == out
    assert "special_tokens_map.json" in _carried(source, WIDER)


def test_a_hub_cache_is_carried_through_its_links(source: Path, tmp_path: Path) -> None:
    repo = tmp_path / "models--org--name"
    snapshot = repo / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "blobs" / "123").write_text("{}")
    (snapshot / "tokenizer.json").symlink_to("../../blobs/123")
    (snapshot / "vocab.txt").symlink_to(source / "vocab.txt")
    assert _carried(snapshot, None) == {"tokenizer.json"}


def test_a_pipe_is_not_opened(source: Path) -> None:
    os.mkfifo(source / "tokenizer_config.json")
    assert _left(source)["tokenizer_config.json"] == "not a regular file"
