"""AKI, tensor by tensor: every written element against the formula, by numpy on the two files alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.methods.formula import MAP, expected, grown, maps_of

GROWTH = "grow hidden 48→72, heads 6→9, ffn 80→100 via aki, reading {}, map {}"
CASES = [
    "gpt2-tied",
    "gpt2-untied",
    "bert-mlm",
    "bert-mlm-untied",
    "llama-gqa",
    "llama-mha",
    "llama-mqa-tied",
    "vit-base",
]


def circular(old_heads: int, heads: int, kv: int) -> MAP:
    """Query heads in order, again and again, inside each group of a kv head."""
    if kv == old_heads:
        return np.arange(heads) % old_heads
    old, now = old_heads // kv, heads // kv
    return np.concatenate([j * old + np.arange(now) % old for j in range(kv)])


@pytest.mark.parametrize("map", ["random", "circular"])
@pytest.mark.parametrize("reading", ["rows", "inner"])
@pytest.mark.parametrize("name", CASES)
def test_every_element_is_the_formulas(name: str, reading: str, map: str, tmp_path: Path) -> None:
    result = grown(name, GROWTH.format(reading, map), tmp_path)
    maps, model = maps_of(result), result.typed.source
    heads, groups = maps["q"][::8] // 8, model.sizes.get("kv_heads", 6)
    if groups < 6:  # AKI-Pro: query heads stay beside their own kv head
        assert (heads // (6 // groups) == np.arange(9) // (9 // groups)).all()
    if map == "circular":
        assert (heads == circular(6, 9, groups)).all()
        assert (maps["hidden"] == np.arange(72) % 48).all()
        assert (maps["ffn"] == np.arange(100) % 80).all()
    source, target = (load_file(d / "model.safetensors") for d in (result.source, result.target))
    wanted = expected(source, model.family.name, maps, reading, model.tied)
    assert set(wanted) == set(target)
    for key, value in wanted.items():
        np.testing.assert_allclose(target[key], value, rtol=1e-14, atol=0, err_msg=key)


def test_one_step_is_two(tmp_path: Path) -> None:
    """Columns are divided and rows grafted apart, so axes may grow one after the other."""
    tail = "via aki, map circular"
    one = grown("llama-mha", f"grow hidden 48→72, heads 6→9, ffn 80→100 {tail}", tmp_path / "one")
    two = f"widen ffn 80→100 {tail}; widen heads 6→9 {tail}; widen hidden 48→72 {tail}"
    more = grown("llama-mha", two, tmp_path / "two")
    a, b = (load_file(g.target / "model.safetensors") for g in (one, more))
    assert set(a) == set(b)
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=1e-14, err_msg=key)


@pytest.mark.parametrize(
    ("steps", "config"),
    [
        ("grow hidden 48→72, heads 6→9, ffn 80→100 via {}", {"n_layer": 1}),
        ("widen hidden 48→72 via {}; widen heads to 9 via {}", {"n_layer": 1}),
        ("widen hidden 48→72 via {}; widen heads to 9 via fpi", {}),
    ],
)
def test_without_a_layer_above_it_is_fpi(steps: str, config: dict[str, object], tmp_path: Path) -> None:
    """One layer; or residual units alone under `inner`. The proof says so, and is FPI's."""
    results = []
    for via in ("aki, reading inner", "bert2bert"):
        results.append(grown("gpt2-tied", steps.replace("{}", via), tmp_path / via, **config))
    aki, plain = results
    assert (aki.target / "model.safetensors").read_bytes() == (
        plain.target / "model.safetensors"
    ).read_bytes()
    assert aki.typed.claim == plain.typed.claim and aki.typed.claim.strength == "approximate"
    assert any("this is FPI" in reason for reason in aki.typed.steps[0].proof.reasons)
    assert aki.typed.steps[0].candidate == "random copies"


def test_the_record_counts_what_was_compared(tmp_path: Path) -> None:
    result = grown("bert-mlm", GROWTH.format("rows", "random"), tmp_path)
    record = json.loads((result.target / "growth.json").read_text())
    (step,) = record["steps"]
    tensors = load_file(result.target / "model.safetensors")
    assert step["claim"] == step["proof"] == "none"
    assert step["measured"]["rebuilt"] == len(tensors) - 1  # the decoder's bias is as it was
    assert np.isfinite(step["measured"]["kl"]) and step["measured"]["output_max_abs"] > 0
    assert "bert2BERT" in (result.target / "README.md").read_text()
