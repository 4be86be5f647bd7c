"""Masks on the stream of RMSNorm models: what lies on disk is another model than the one behind the masks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from growplan.checkpoint.growth_reader import read_growth
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.pipeline import check
from growplan.runtime import attach
from growplan.runtime.state import RAW, STATE, read_state
from tests.float64 import load_float64, no_float32_islands
from tests.runtime.grown import CLASSES, Grown

LINE = "mask-in hidden 48→72 over 10 steps, init normal(1.0); mask-in ffn x2 over 10 steps"
FAMILIES = ("llama", "qwen3", "mixtral")


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    with no_float32_islands():
        yield


def grown(family: str, folder: Path) -> Grown:
    line = LINE.partition(";")[0] if family == "mixtral" else LINE
    return Grown.by(line, family, folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_attaching_puts_back_rows_gains_and_epsilon(family: str, tmp_path: Path) -> None:
    found = grown(family, tmp_path)
    old, plain, (model, _) = found.load("m"), found.load("g"), found.attached()
    eps = old.config.rms_norm_eps
    assert plain.config.rms_norm_eps == pytest.approx(eps * 48 / 72, rel=1e-12)
    assert model.config.rms_norm_eps == model.model.norm.variance_epsilon == eps
    assert read_state(tmp_path / "g").config == {"rms_norm_eps": eps}
    assert "growplan.runtime.attach(model, DIRECTORY)" in (tmp_path / "g" / "README.md").read_text()
    assert {step.claim for step in read_growth(tmp_path / "g").steps} == {"exact"}  # type: ignore[union-attr]
    scaled = old.model.norm.weight * (48 / 72) ** 0.5
    assert torch.allclose(plain.model.norm.weight[:48], scaled, rtol=1e-12)
    assert torch.equal(model.model.norm.weight[:48], old.model.norm.weight)
    assert torch.equal(model.model.norm.weight[48:], torch.ones(24, dtype=torch.float64))
    assert not plain.model.embed_tokens.weight[:, 48:].any()
    assert bool(model.model.embed_tokens.weight[:, 48:].all())


@pytest.mark.parametrize("family", FAMILIES)
def test_in_the_middle_and_at_the_end_the_epsilon_on_disk_is_the_trained_one(
    family: str, tmp_path: Path
) -> None:
    found = grown(family, tmp_path)
    model, attached = found.attached()
    attached.at(4)
    wanted = found.logits(model)
    model.save_pretrained(tmp_path / "half")
    attached.save(tmp_path / "half")
    assert read_state(tmp_path / "half").config == {}
    again = load_float64(tmp_path / "half", CLASSES[family])
    assert again.config.rms_norm_eps == found.load("m").config.rms_norm_eps
    attach(again, tmp_path / "half")
    assert torch.equal(found.logits(again), wanted)
    attached.at(10)
    attached.finish().save_pretrained(tmp_path / "done")
    assert torch.equal(found.logits(load_float64(tmp_path / "done", CLASSES[family])), found.logits(model))


def test_raw_values_come_again_where_the_checkpoint_was_loaded_anew(tmp_path: Path) -> None:
    found = Grown.by(LINE, "llama", tmp_path)
    model, attached = found.attached()
    raw = {name: values.clone() for name, values in model.state_dict().items()}
    model.load_state_dict(found.load("g").state_dict())
    assert not all(torch.equal(values, raw[name]) for name, values in model.state_dict().items())
    attached.reload()
    assert all(torch.equal(values, raw[name]) for name, values in model.state_dict().items())
    shutil.rmtree(tmp_path / "g")
    attached.reload()
    assert all(torch.equal(values, raw[name]) for name, values in model.state_dict().items())


def changed(name: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        if name == RAW:
            tensors = load_file(folder / name)
            change(tensors)
            save_file(tensors, folder / name)
            return
        document = json.loads((folder / name).read_text())
        change(document)
        (folder / name).write_text(json.dumps(document))

    return apply


DAMAGED = {
    "epsilon 0": ("GP581", changed(STATE, lambda d: d["config"].update(rms_norm_eps=0))),
    "no such key": ("GP582", changed(STATE, lambda d: d["config"].update(layer_norm_eps=1e-5))),
    "epsilon on disk": ("GP582", changed("config.json", lambda d: d.update(rms_norm_eps=0.125))),
    "a tensor less": ("GP583", changed(RAW, lambda d: d.pop("model.norm.weight"))),
    "another shape": ("GP583", changed(RAW, lambda d: d.update({"model.norm.weight": torch.ones(3)}))),
    "no raw values": ("GP583", lambda folder: (folder / RAW).unlink()),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_nothing_is_put_in_from_damaged_files(damage: str, tmp_path: Path) -> None:
    found = Grown.by(LINE, "llama", tmp_path)
    model, before = found.load("g"), found.logits(found.load("g"))
    code, do = DAMAGED[damage]
    shutil.copytree(tmp_path / "g", tmp_path / "bad")
    do(tmp_path / "bad")
    with pytest.raises(DiagnosticError) as error:
        attach(model, tmp_path / "bad")
    assert error.value.diagnostics[0].code == code and error.value.diagnostics[0].help
    assert torch.equal(found.logits(model), before)
    assert model.config.rms_norm_eps == found.load("g").config.rms_norm_eps


def test_a_model_that_was_trained_in_the_meantime_is_refused(tmp_path: Path) -> None:
    found = Grown.by(LINE, "llama", tmp_path)
    model = found.load("g")
    with torch.no_grad():
        model.model.norm.weight[50] += 1e-3
    with pytest.raises(DiagnosticError, match="has been changed since"):
        attach(model, tmp_path / "g")


def test_masks_that_are_given_up_leave_what_a_stock_load_needs(tmp_path: Path) -> None:
    found = Grown.by("mask-in hidden 48→72 over 10 steps; widen hidden 72→144 via fpi", "llama", tmp_path)
    state, plain = read_state(tmp_path / "g"), found.load("g")
    assert {mask.axis for mask in state.masks} == {"heads"} and state.config == {}
    assert found.error(plain) < 1e-10 > found.error(found.attached()[0])
    assert plain.config.rms_norm_eps == pytest.approx(
        found.load("m").config.rms_norm_eps * 48 / 72, rel=1e-12
    )


def test_a_checkpoint_that_a_stock_load_computes_may_be_grown_again(tmp_path: Path) -> None:
    found = Grown.by(LINE, "llama", tmp_path)
    plan = parse_text(f"source {tmp_path / 'g'}\nwiden hidden 72→144 via fpi", "p.grow", "dsl")
    assert found.result.typed.claim.where == check(plan).claim.where == "stock"
