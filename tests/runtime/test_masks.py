"""Masks attached to stock models: exact at 0, plain at 1, continuous between."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.diagnostics import DiagnosticError
from growplan.methods.base import Ramp
from growplan.methods.msg import METHOD
from growplan.runtime import attach
from growplan.runtime.export import export
from growplan.runtime.hooks import masked_norm
from growplan.runtime.ramps import value_at
from growplan.runtime.state import STATE, read_state
from tests.float64 import no_float32_islands
from tests.runtime.grown import LINES, Grown

FAMILIES = ("gpt2", "bert", "vit", "llama", "qwen3", "mistral", "deit", "roberta")
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
