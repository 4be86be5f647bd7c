"""Upcycled checkpoints as written: what stock Mixtral computes with them, and where tensors come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.matrix.cases import Variant
from tests.matrix.run import Grown, by_interpreter, by_transformers, grow, inputs_for, worst, write_source

EXACT, STOCK = 1e-9, 1e-5
CLASSES = {
    "LlamaForCausalLM": "MixtralForCausalLM",
    "LlamaModel": "MixtralModel",
    "LlamaForSequenceClassification": "MixtralForSequenceClassification",
    "LlamaForQuestionAnswering": "MixtralForQuestionAnswering",
    "MistralForCausalLM": "MixtralForCausalLM",
}
EXPERT = "model.layers.{}.block_sparse_moe.experts.{}.{}.weight"
DENSE = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}


def upcycled(steps: str, tmp_path: Path, architecture: str = "LlamaForCausalLM", **config: object) -> Grown:
    family = "mistral" if architecture.startswith("Mistral") else "llama"
    source = write_source(Variant("source", family, architecture, "rms", dict(config)), tmp_path / "source")
    return grow(source, steps, tmp_path / "target")


def difference(grown: Grown) -> tuple[float, float]:
    """(through the interpreter, through the stock classes)."""
    inputs = inputs_for(grown.typed.source)
    architectures = (grown.typed.source.architecture, grown.typed.target.architecture)
    assert CLASSES[architectures[0]] == architectures[1]
    directories = (grown.source, grown.target)
    a, b = (by_interpreter(directory, inputs) for directory in directories)
    x, y = (by_transformers(d, c, inputs) for d, c in zip(directories, architectures, strict=True))
    return worst(a, b), worst(x, {key: y[key] for key in x})


@pytest.mark.parametrize("architecture", CLASSES)
def test_every_class(architecture: str, tmp_path: Path) -> None:
    inner, stock = difference(upcycled("upcycle ffn to 4 experts", tmp_path, architecture, pad_token_id=0))
    assert inner < EXACT
    assert stock < STOCK


@pytest.mark.parametrize(
    "steps",
    [
        "upcycle ffn to 8 experts, top-k 3, router normal(0.5)",
        "upcycle ffn to 4 experts, router zeros",
        "upcycle ffn to 8 experts, granularity 4, scale down",
        "upcycle ffn to 8 experts, granularity 2, top-k 4, scale sqrt",
        "upcycle ffn to 4 experts; widen hidden 48→72; widen ffn x2; widen experts x2",
        "widen hidden x2; deepen depth x2; upcycle ffn to 4 experts",
        "widen ffn 80→96; upcycle ffn to 6 experts, granularity 3, scale down; widen hidden to 72",
    ],
)
def test_exact(steps: str, tmp_path: Path) -> None:
    grown = upcycled(steps, tmp_path)
    assert grown.typed.claim.strength == "exact"
    inner, stock = difference(grown)
    assert inner < EXACT
    assert stock < STOCK


@pytest.mark.parametrize(
    "options", ["noise 0.02", "drop 0.5", "granularity 2, top-k 4", "granularity 2, top-k 4, scale none"]
)
def test_nothing_is_claimed_where_the_function_changes(options: str, tmp_path: Path) -> None:
    grown = upcycled(f"upcycle ffn to 4 experts, {options}", tmp_path)
    assert grown.typed.claim.strength == "none"
    inner, stock = difference(grown)
    assert inner > 1e-3
    assert abs(inner - stock) < 1e-3 * inner


# provenance ----------------------------------------------------------------------------------------


def tensors(grown: Grown) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    old, new = (load_file(d / "model.safetensors") for d in (grown.source, grown.target))
    return old, new


def test_every_expert_is_the_ffn_bit_by_bit(tmp_path: Path) -> None:
    old, new = tensors(upcycled("upcycle ffn to 4 experts", tmp_path))
    assert not any(".mlp." in name for name in new)
    for layer in range(2):
        for expert in range(4):
            for ours, theirs in DENSE.items():
                source = old[f"model.layers.{layer}.mlp.{theirs}.weight"]
                assert torch.equal(new[EXPERT.format(layer, expert, ours)], source)
    for name in old.keys() & new.keys():
        assert torch.equal(old[name], new[name])


def test_shards_lie_in_turn_and_their_router_rows_repeat(tmp_path: Path) -> None:
    grown = upcycled("upcycle ffn to 8 experts, granularity 4, top-k 4, scale none", tmp_path)
    old, new = tensors(grown)
    for expert in range(8):
        at = slice(expert % 4 * 20, (expert % 4 + 1) * 20)
        for ours, theirs in DENSE.items():
            whole = old[f"model.layers.1.mlp.{theirs}.weight"]
            shard = whole[:, at] if ours == "w2" else whole[at]
            assert torch.equal(new[EXPERT.format(1, expert, ours)], shard)
    router = new["model.layers.1.block_sparse_moe.gate.weight"].view(2, 4, 48)
    assert torch.equal(router, router[:, :1].expand_as(router))
    assert not torch.equal(router[0, 0], router[1, 0])


def test_dropped_units_are_drawn_apart_like_what_they_replace(tmp_path: Path) -> None:
    """floor(0.3 * 80) = 24 units of gate, up and down, chosen apart, in every expert others."""
    config = {"hidden_size": 96, "num_hidden_layers": 1}
    old, new = tensors(upcycled("upcycle ffn to 2 experts, drop 0.3", tmp_path, **config))
    chosen = []
    for expert in range(2):
        for ours, theirs in DENSE.items():
            before, after = old[f"model.layers.0.mlp.{theirs}.weight"], new[EXPERT.format(0, expert, ours)]
            before, after = (t.T if ours == "w2" else t for t in (before, after))
            changed = (before != after).all(-1)
            assert torch.equal(before[~changed], after[~changed])
            assert int(changed.sum()) == 24
            assert float(after[changed].std()) == pytest.approx(float(before[changed].std()), rel=0.1)
            assert float(after[changed].mean() - before[changed].mean()) < 0.1 * float(before[changed].std())
            chosen.append(tuple(changed.tolist()))
    assert len(set(chosen)) == 6


def test_noise_has_its_deviation(tmp_path: Path) -> None:
    old, new = tensors(upcycled("upcycle ffn to 2 experts, noise 0.05", tmp_path))
    for expert in range(2):
        noise = new[EXPERT.format(0, expert, "w1")] - old["model.layers.0.mlp.gate_proj.weight"]
        assert float(noise.std()) == pytest.approx(0.05, rel=0.1)
    assert not torch.equal(new[EXPERT.format(0, 0, "w1")], new[EXPERT.format(0, 1, "w1")])
