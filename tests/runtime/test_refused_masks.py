"""Masks that cannot be attached, or cannot be there: what is said, and that nothing is half attached."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.check.masks import growth_masks
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.pipeline import check
from growplan.runtime import attach
from growplan.runtime.export import export
from growplan.runtime.state import STATE, read_state
from tests.float64 import no_float32_islands
from tests.runtime.grown import CLASSES, LINES, Grown
from tests.tiny import tiny_checkpoint


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    with no_float32_islands():
        yield


def refusal(model: Any, directory: Path) -> str:
    with pytest.raises(DiagnosticError) as error:
        attach(model, directory)
    (found,) = error.value.diagnostics
    assert found.help
    assert all("forward" not in vars(module) and not module._forward_pre_hooks for module in model.modules())
    return found.code


def test_nothing_is_half_attached(tmp_path: Path) -> None:
    grown = Grown.by(LINES["all"], "gpt2", tmp_path / "a")
    other = Grown.by("mask-in ffn x3", "gpt2", tmp_path / "b")
    directory = tmp_path / "c"
    shutil.copytree(grown.folder / "g", directory)
    (directory / STATE).write_text("{}")
    assert refusal(grown.load("g"), directory) == "GP581"
    (directory / STATE).unlink()
    assert refusal(grown.load("g"), directory) == "GP581"
    shutil.copy(other.folder / "g" / STATE, directory / STATE)
    assert refusal(grown.load("g"), directory) == "GP582"
    changed = other.load("g")
    with torch.no_grad():
        changed.transformer.h[1].mlp.c_proj.weight += 1
    assert refusal(changed, other.folder / "g") == "GP583"
    model, attached = grown.attached()
    with pytest.raises(DiagnosticError, match="has its masks already"):
        attach(model, grown.folder / "g")
    with pytest.raises(DiagnosticError, match="still below 1"):
        attached.finish()
    assert grown.error(model) < 1e-10


def test_steps_are_whole_numbers(tmp_path: Path) -> None:
    _, attached = Grown.by(LINES["ffn"], "gpt2", tmp_path).attached()
    attached.at(3)
    for wrong in (float("nan"), 2.5, -1, "4"):
        with pytest.raises(DiagnosticError, match="steps cannot be done"):
            attached.at(wrong)  # type: ignore[arg-type]
        assert attached.done == 3 and attached.masks == {"mask-in-ffn": 0.3}
    attached.at(torch.tensor(4))  # type: ignore[arg-type]
    assert attached.done == 4


def test_another_model_of_the_same_sizes(tmp_path: Path) -> None:
    """Neither the state of another model is taken, nor another model than the one beside the state."""
    grown = Grown.by(LINES["hidden"], "gpt2", tmp_path / "a")
    other = Grown.by(f"{LINES['hidden']}, init normal(0.5)", "gpt2", tmp_path / "b")
    assert read_state(tmp_path / "a" / "g").held == "raw"
    assert refusal(other.load("g"), tmp_path / "a" / "g") == "GP583"
    shutil.copy(tmp_path / "b" / "g" / STATE, tmp_path / "a" / "g" / STATE)
    assert refusal(grown.load("g"), tmp_path / "a" / "g") == "GP582"
    with pytest.raises(DiagnosticError, match="another model of these sizes"):
        export(tmp_path / "a" / "g", tmp_path / "out")
    half = attach(other.load("g").float(), tmp_path / "b" / "g")  # as it is stored, in another precision
    half.model.save_pretrained(tmp_path / "half")
    half.save(tmp_path / "half")
    assert refusal(other.load("g"), tmp_path / "half") == "GP583"
    again = type(half.model).from_pretrained(tmp_path / "half")
    assert attach(again, tmp_path / "half").active


@pytest.mark.parametrize("line", ["mask-in ffn x2", "mask-in depth 2→3"])
def test_masks_inside_experts_stay_at_0(line: str, tmp_path: Path) -> None:
    grown = Grown.by(line, "mixtral", tmp_path)
    assert not growth_masks(grown.result.typed) and refusal(grown.load("g"), tmp_path / "g") == "GP581"
    assert grown.error(grown.load("g")) < 1e-10


def test_a_mask_beside_those_inside_experts_rises(tmp_path: Path) -> None:
    grown = Grown.by(f"{LINES['ffn']}; {LINES['hidden']}", "mixtral", tmp_path)
    model, attached = grown.attached()
    assert list(attached.masks) == ["mask-in-hidden", "mask-in-hidden/heads"]
    assert grown.error(model) < 1e-10 > grown.error(grown.load("g"))
    down = model.model.layers[0].mlp.experts.down_proj
    assert not down[:, :48, 80:].any() and bool(down[:, :, :80].all())


def test_a_state_with_masks_inside_experts_is_refused(tmp_path: Path) -> None:
    grown = Grown.by(LINES["hidden"], "mixtral", tmp_path)
    document = json.loads((tmp_path / "g" / STATE).read_text())
    document["masks"][0]["sites"][0] |= {"kind": "input", "module": "layers.experts.w2"}
    (tmp_path / "g" / STATE).write_text(json.dumps(document))
    assert refusal(grown.load("g"), tmp_path / "g") == "GP586"


def centred(folder: Path, *lines: str) -> Path:
    """A family of mixtures with LayerNorms, whose stream has a mask only while it is attached."""
    tiny_checkpoint("mixtral", folder / "m", architecture=CLASSES["mixtral"])
    (folder / "m" / "model.safetensors").unlink()  # a config alone
    norms = ("layers.input_layernorm", "layers.post_attention_layernorm", "norm")
    modules = ["modules:", *(f"  {name}: layernorm hidden, eps rms_norm_eps" for name in norms)]
    family = folder / "centred.yaml"
    family.write_text("\n".join(["family: centred", "extends: mixtral", *modules, *lines, ""]))
    return family


def test_a_mask_that_must_be_attached_does_not_stand_inside_experts(tmp_path: Path) -> None:
    family = centred(tmp_path)
    for line in ("mask-in hidden 48→72; mask-in depth 2→3", "mask-in ffn x2; mask-in hidden 48→72"):
        plan = parse_text(f"source {tmp_path / 'm'}\n{line}", "p.grow", "dsl")
        typed = check(plan, family=family)
        assert (typed.claim.where, check(plan).claim.where) == ("attached", "stock")
        assert {mask.axis for mask in growth_masks(typed)} == {"hidden", "heads"}


BARE = """block: |
  y = layers.input_layernorm(x)
  q, k, v = layers.self_attn.q_proj(y), layers.self_attn.k_proj(y), layers.self_attn.v_proj(y)
  x = x + layers.self_attn.o_proj(attention(rope(q), rope(k), v, causal=True))
  z = layers.experts.w2(act(layers.experts.w1(x)) * layers.experts.w3(x))
  x = x + route(layers.block_sparse_moe.gate(layers.post_attention_layernorm(x)), z)"""


def test_a_mask_that_could_never_be_attached(tmp_path: Path) -> None:
    """Experts that read the stream with no norm between."""
    family = centred(tmp_path, BARE)
    plan = parse_text(f"source {tmp_path / 'm'}\nmask-in hidden 48→72", "p.grow", "dsl")
    with pytest.raises(DiagnosticError, match="stands inside experts") as error:
        check(plan, family=family)
    assert error.value.diagnostics[0].code == "GP586" and error.value.diagnostics[0].help
    family.write_text(family.read_text().replace("layernorm hidden", "rmsnorm hidden"))
    typed = check(plan, family=family)
    assert typed.claim.where == "stock" and {mask.axis for mask in growth_masks(typed)} == {"heads"}


def test_a_half_grown_source_is_refused(tmp_path: Path) -> None:
    grown = Grown.by(LINES["hidden"], "gpt2", tmp_path)
    with pytest.raises(DiagnosticError, match="in the middle of a ramp"):
        check(parse_text(f"source {tmp_path / 'g'}\nstack depth x2", "p.grow", "dsl"))
    model, attached = grown.attached()
    attached.at(10)
    attached.finish()
    model.save_pretrained(tmp_path / "done")
    check(parse_text(f"source {tmp_path / 'done'}\nstack depth x2", "p.grow", "dsl"))


def test_what_a_stock_load_computes_may_be_grown_again(tmp_path: Path) -> None:
    grown = Grown.by(LINES["ffn"], "gpt2", tmp_path)
    assert grown.result.typed.claim.where == "stock"
    assert check(parse_text(f"source {tmp_path / 'g'}\nwiden hidden x2", "p.grow", "dsl")).steps


def test_a_state_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from growplan.checkpoint import files

    _, attached = Grown.by(LINES["ffn"], "gpt2", tmp_path).attached()
    before = (tmp_path / "g" / STATE).read_bytes()

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    attached.at(3)
    with pytest.raises(DiagnosticError) as error:
        attached.save(tmp_path / "g")
    assert error.value.diagnostics[0].code == "GP430"
    assert (tmp_path / "g" / STATE).read_bytes() == before
    assert not list((tmp_path / "g").glob(".*"))
