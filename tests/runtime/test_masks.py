"""Masks attached to stock models: exact at 0, plain at 1, continuous between, and where they cannot be."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.check.masks import growth_masks
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.methods.base import Ramp
from growplan.methods.msg import METHOD
from growplan.pipeline import check
from growplan.runtime import attach
from growplan.runtime.export import export
from growplan.runtime.hooks import masked_norm
from growplan.runtime.ramps import value_at
from growplan.runtime.state import STATE, read_state
from tests.float64 import no_float32_islands
from tests.runtime.grown import CLASSES, Grown
from tests.tiny import tiny_checkpoint

FAMILIES = ("gpt2", "bert", "vit", "llama", "qwen3", "mistral", "deit", "roberta")
LINES = {
    "hidden": "mask-in hidden 48→72 over 10 steps",
    "ffn": "mask-in ffn x2 over 10 steps",
    "depth": "mask-in depth 2→5 over 10 steps, place between",
    "heads": "mask-in heads 6→9; widen hidden 48→72 via fpi, split even",
    "all": "mask-in ffn x2 over 10 steps; mask-in depth 2→3 over 10 steps, ramp cosine, delay 3;"
    " mask-in hidden 48→72 over 10 steps, init normal(1.0)",
    "twice": "mask-in hidden 48→60; mask-in hidden to 72; mask-in ffn x2; mask-in ffn x2; mask-in depth 2→3;"
    " mask-in depth 3→4; mask-in heads 6→9",
}
FEW = ("gpt2", "bert", "vit", "llama", "qwen3")
CASES = [(family, name) for family in FEW for name in ("hidden", "ffn", "depth", "heads")]
CASES += [(family, "all") for family in FAMILIES] + [
    (family, "twice") for family in ("gpt2", "bert", "llama", "qwen3")
]
CASES += [("mixtral", "hidden")]
CASES.remove(("bert", "heads"))  # no even copies
STOCK = {"ffn", "heads"}
RMS = {"llama", "mistral", "mixtral", "qwen3"}


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    with no_float32_islands():
        yield


@pytest.mark.parametrize(("family", "name"), CASES, ids=[f"{f}-{n}" for f, n in CASES])
def test_exact_at_0_and_plain_at_1(family: str, name: str, tmp_path: Path) -> None:
    grown = Grown.by(LINES[name], family, tmp_path)
    plain, (model, attached) = grown.load("g"), grown.attached()
    assert grown.error(model) < 1e-10
    stock = name in STOCK or (name == "depth" and family not in ("bert", "roberta")) or family in RMS
    assert (grown.error(plain) < 1e-10) == stock == (grown.result.typed.claim.where == "stock")
    assert list(model.state_dict()) == list(plain.state_dict())
    attached.at(attached.end - 1)
    before = grown.logits(model)
    attached.at(attached.end)
    last = grown.logits(model)
    assert attached.finish() is model and not attached.active
    assert torch.equal(grown.logits(model), last) and not torch.equal(before, last)
    assert all("forward" not in vars(module) for module in model.modules())
    assert all(not module._forward_pre_hooks and not module._forward_hooks for module in model.modules())
    assert grown.error(model) > 1e-2  # what was hidden is seen now


@pytest.mark.parametrize("family", ["gpt2", "bert", "llama"])
def test_a_small_step_of_the_mask_is_a_small_change(family: str, tmp_path: Path) -> None:
    """The change is about in proportion to the step, all along the ramp."""
    grown = Grown.by(LINES["all"].replace("10 steps", "1000000 steps"), family, tmp_path)
    model, attached = grown.attached()
    for at in (10, 250_000, 999_000):
        outs = []
        for step in (at, at + 1, at + 2):
            attached.at(step)
            outs.append(grown.logits(model))
        first, second = (float((b - a).abs().max()) for a, b in pairwise(outs))
        assert 0 < first < 1e-2 * float(outs[0].std())
        assert second == pytest.approx(first, rel=0.05)


def test_masked_norms_are_the_published_formula() -> None:
    random = torch.Generator().manual_seed(0)
    x, gain, bias = (torch.randn(*shape, generator=random).double() for shape in ((4, 6), (6,), (6,)))
    m = torch.tensor([1, 1, 1, 1, 0.3, 0.3], dtype=torch.float64)
    got = masked_norm(x, m, gain, bias, 1e-3, centred=True)
    for row, out in zip(x, got, strict=True):
        mu = sum(m[i] * row[i] for i in range(6)) / sum(m)
        var = sum(m[i] * (row[i] - mu) ** 2 for i in range(6)) / sum(m)
        wanted = [m[i] * (gain[i] * (row[i] - mu) / (var + 1e-3) ** 0.5 + bias[i]) for i in range(6)]
        assert torch.allclose(out, torch.stack(wanted), atol=1e-14)
    whole, ones = torch.nn.functional.layer_norm(x, (6,), gain, bias, 1e-3), torch.ones_like(m)
    assert torch.allclose(masked_norm(x, ones, gain, bias, 1e-3, centred=True), whole, atol=1e-14)
    rms = x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt() * gain
    assert torch.allclose(masked_norm(x, ones, gain, None, 1e-3, centred=False), rms, atol=1e-14)


def test_ramps() -> None:
    assert METHOD.ramp({"delay": 0}, 4) == METHOD.ramp({}, 4) == Ramp(4)
    assert [value_at(Ramp(4), s) for s in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert [value_at(Ramp(2, delay=3), s) for s in range(7)] == [0, 0, 0, 0, 0.5, 1, 1]
    cosine = [value_at(Ramp(4, "cosine"), s) for s in range(5)]
    assert cosine[0] == 0 and cosine[4] == 1 and cosine[2] == pytest.approx(0.5) and cosine[1] < 0.25
    assert value_at(Ramp(), 2500) == 0.5  # MSG's own 5000 steps, where the plan says none


def test_a_checkpoint_in_the_middle_comes_back(tmp_path: Path) -> None:
    grown = Grown.by(LINES["all"], "gpt2", tmp_path)
    model, attached = grown.attached()
    attached.at(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1e-3
    wanted = grown.logits(model)
    model.save_pretrained(tmp_path / "half")
    attached.save(tmp_path / "half")
    state = read_state(tmp_path / "half")
    assert (state.step, state.held) == (4, "raw")
    card = tmp_path / "half" / "README.md"
    assert "**`from_pretrained` alone gives another model**. After 4 steps" in card.read_text()
    assert "| `mask-in-ffn` | ffn 192→384 | 0.4 | 10 |" in card.read_text()
    attached.at(attached.end)
    attached.save(tmp_path / "half")
    assert not card.exists()
    card.write_text("the user's own")
    attached.at(4)
    attached.save(tmp_path / "half")
    assert card.read_text() == "the user's own"
    from tests.float64 import load_float64

    again = load_float64(tmp_path / "half", "GPT2LMHeadModel")
    assert not torch.equal(grown.logits(again), wanted)
    assert attach(again, tmp_path / "half").masks == attached.masks
    assert torch.equal(grown.logits(again), wanted)


@pytest.mark.parametrize("family", ["gpt2", "llama", "vit", "bert"])
def test_masks_that_are_linear_go_into_the_weights(family: str, tmp_path: Path) -> None:
    line = LINES["ffn"] if family == "bert" else f"{LINES['ffn']}; {LINES['depth']}"
    grown = Grown.by(line, family, tmp_path)
    model, attached = grown.attached()
    attached.at(4)
    model.save_pretrained(tmp_path / "half")
    attached.save(tmp_path / "half")
    from tests.float64 import load_float64

    wanted = grown.logits(model)
    (tmp_path / "half" / "1_Pooling").mkdir()
    (tmp_path / "half" / "1_Pooling" / "notes.json").write_text("{}")
    for name in ("rng_state.pth", "optimizer.pt"):
        (tmp_path / "half" / name).write_bytes(b"state")
    exported = export(tmp_path / "half", tmp_path / "out")
    assert {"rng_state.pth", "optimizer.pt"} <= {left.path for left in exported.left}
    assert not list((tmp_path / "out").glob("*.pt*"))
    plain = load_float64(tmp_path / "out", type(model).__name__)
    assert float((grown.logits(plain) - wanted).abs().max()) < 1e-12
    assert not (tmp_path / "out" / STATE).exists()


def test_masks_of_norms_do_not(tmp_path: Path) -> None:
    grown = Grown.by(LINES["hidden"], "gpt2", tmp_path)
    with pytest.raises(DiagnosticError, match="stands where no weight can hold it"):
        export(tmp_path / "g", tmp_path / "out")
    assert not (tmp_path / "out").exists() and grown.result.typed.claim.where == "attached"


def test_gradient_checkpointing_and_compilation(tmp_path: Path) -> None:
    grown = Grown.by(LINES["all"], "gpt2", tmp_path)
    grads = []
    for checkpointing in (False, True):
        model, attached = grown.attached()
        attached.at(7)
        model.train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model(grown.inputs, labels=grown.inputs).loss.backward()
        grads.append({name: p.grad for name, p in model.named_parameters()})
    assert all(torch.allclose(grads[0][n], grads[1][n], atol=1e-14) for n in grads[0])
    model, attached = grown.attached()
    graphs = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph

    compiled = torch.compile(model, backend=backend)
    for step, made in (
        (0, 1),
        (5, 1),
        (9, 1),
        (10, 2),
        (12, 2),
        (13, 3),
    ):  # masks are 1 from 10 and from 13 on
        attached.at(step)
        if step == attached.end:
            attached.finish()
        assert torch.allclose(compiled(grown.inputs).logits, grown.logits(model), atol=1e-12)
        assert len(graphs) == made, step


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_model_that_was_compiled_before_has_its_masks(family: str, tmp_path: Path) -> None:
    grown = Grown.by(LINES["ffn"], family, tmp_path)
    model = grown.load("g")
    compiled = torch.compile(model, backend="eager")
    compiled(grown.inputs)
    attached = attach(compiled, tmp_path / "g")
    assert grown.error(compiled) < 1e-10
    for step in (5, 10):
        attached.at(step)
        assert torch.allclose(grown.logits(compiled), grown.logits(model), atol=1e-12)
    assert attached.finish() is model
    attached.restore(5)
    assert torch.allclose(grown.logits(compiled), grown.logits(model), atol=1e-12)


def test_new_units_learn_as_soon_as_the_mask_moves(tmp_path: Path) -> None:
    grown = Grown.by(LINES["ffn"], "gpt2", tmp_path)
    model, attached = grown.attached()
    norms = []
    for step in (0, 5, 10):
        attached.at(step)
        model.zero_grad()
        model(grown.inputs, labels=grown.inputs).loss.backward()
        weight = model.transformer.h[0].mlp.c_fc.weight
        norms.append(float(weight.grad[:, 192:].norm()))
    assert norms[0] == 0 < norms[1] and norms[2] > 0


# mistakes ------------------------------------------------------------------------------------------


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
