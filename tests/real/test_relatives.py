"""SmolLM2's weights under the names of LLaMA's relatives: the same function, and grown as one of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.real.assets import apply, by_interpreter, load_clean

pytestmark = pytest.mark.full
IDS = torch.arange(3, 27)[None] * 97
KEPT = ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size")
KEPT += ("num_hidden_layers", "vocab_size", "max_position_embeddings", "hidden_act", "rms_norm_eps")
KEPT += ("tie_word_embeddings", "rope_theta", "rope_parameters", "bos_token_id", "eos_token_id", "dtype")


def renamed(source: Path, target: Path, name: str, **more: Any) -> Path:
    """The checkpoint as a model of another family; Qwen2's biases are zeros."""
    from safetensors.torch import load_file, save_file

    target.mkdir()
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    kept = {key: config[key] for key in KEPT if key in config}
    kept |= {"model_type": name, "architectures": [f"{name.capitalize()}ForCausalLM"], **more}
    (target / "config.json").write_text(json.dumps(kept), encoding="utf-8")
    if name == "mistral":
        shutil.copy(source / "model.safetensors", target)
        return target
    tensors = load_file(source / "model.safetensors")
    projections = [n for n in tensors if n.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight"))]
    tensors |= {n.replace("weight", "bias"): torch.zeros(len(tensors[n])) for n in projections}
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.mark.parametrize(("name", "more"), [("mistral", {"sliding_window": None}), ("qwen2", {})])
def test_the_same_logits(smollm2: Path, tmp_path: Path, name: str, more: dict[str, Any]) -> None:
    from transformers import AutoModelForCausalLM

    folder = renamed(smollm2, tmp_path / name, name, **more)
    logits = []
    for directory in (smollm2, folder):
        with torch.no_grad():
            logits.append(load_clean(AutoModelForCausalLM, directory)(IDS).logits)
    assert torch.equal(*logits)
    assert torch.equal(by_interpreter(smollm2, IDS)["logits"], by_interpreter(folder, IDS)["logits"])


def test_grown_as_mistral_with_a_window(
    smollm2: Path, tmp_path: Path, measured: Callable[[str, float, float], None]
) -> None:
    """A window of 8 over 24 tokens, so that it matters; float32 as shipped, one plan."""
    source = renamed(smollm2, tmp_path / "source", "mistral", sliding_window=8)
    plan = tmp_path / "ffn.grow"
    plan.write_text("widen ffn 1536→2048 via fpi\n", encoding="utf-8")
    grown = apply(plan, source, tmp_path / "grown")
    old, new = (by_interpreter(folder, IDS)["logits"] for folder in (source, grown))
    assert not torch.allclose(old, by_interpreter(smollm2, IDS)["logits"], atol=1e-2)
    error = float((new - old).abs().max() / old.std())
    measured("SmolLM2 as Mistral, window 8, ffn 1536→2048: logits", error, 1e-9)
