"""The interpreter against stock transformers, in float64, on tiny random models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from growplan.backend.interpreter import Interpreter
from growplan.checkpoint.config import read_config
from growplan.checkpoint.headers import read_headers
from growplan.families import bind, detect
from growplan.families.rope import read_rope
from tests.float64 import load_float64, no_float32_islands
from tests.tiny import tiny_checkpoint

PAD = {"pad_token_id": 3}
UNTIED = {"tie_word_embeddings": False}
TIED = {"tie_word_embeddings": True}

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("bert", "BertModel", {}),
    ("bert", "BertModel", {"hidden_act": "relu"}),
    ("bert", "BertForMaskedLM", {"hidden_act": "gelu_new"}),
    ("bert", "BertForMaskedLM", UNTIED),
    ("bert", "BertForPreTraining", {"type_vocab_size": 3}),
    ("bert", "BertForPreTraining", {**UNTIED, "hidden_act": "silu"}),
    ("bert", "BertForSequenceClassification", {"num_labels": 5}),
    ("bert", "BertForTokenClassification", {"num_labels": 3}),
    ("bert", "BertForQuestionAnswering", {}),
    ("gpt2", "GPT2Model", {}),
    ("gpt2", "GPT2LMHeadModel", {"n_inner": 100}),
    ("gpt2", "GPT2LMHeadModel", {**UNTIED, "activation_function": "gelu"}),
    ("gpt2", "GPT2LMHeadModel", {"activation_function": "relu"}),
    ("gpt2", "GPT2ForSequenceClassification", {**PAD, "num_labels": 4}),
    ("gpt2", "GPT2ForTokenClassification", {"num_labels": 4}),
    ("gpt2", "GPT2ForQuestionAnswering", {}),
    ("llama", "LlamaModel", {}),
    ("llama", "LlamaForCausalLM", {"num_key_value_heads": 6}),
    ("llama", "LlamaForCausalLM", {"num_key_value_heads": 1, **TIED}),
    ("llama", "LlamaForCausalLM", {"head_dim": 4, "attention_bias": True, "mlp_bias": True}),
    ("llama", "LlamaForCausalLM", {"head_dim": 12, "hidden_act": "gelu_pytorch_tanh"}),
    ("llama", "LlamaForCausalLM", {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}}),
    ("llama", "LlamaForSequenceClassification", PAD),
    ("llama", "LlamaForTokenClassification", {"num_labels": 3}),
    ("llama", "LlamaForQuestionAnswering", {}),
    ("mistral", "MistralModel", {"sliding_window": None}),
    ("mistral", "MistralForCausalLM", {}),
    ("mistral", "MistralForCausalLM", {**TIED, "sliding_window": 1, "head_dim": 12}),
    ("mistral", "MistralForSequenceClassification", PAD),
    ("mistral", "MistralForTokenClassification", {"num_labels": 3}),
    ("mistral", "MistralForQuestionAnswering", {}),
    ("qwen2", "Qwen2Model", {}),
    ("qwen2", "Qwen2ForCausalLM", {"use_sliding_window": False}),
    ("qwen2", "Qwen2ForCausalLM", {**TIED, "layer_types": ["sliding_attention", "full_attention"]}),
    ("qwen2", "Qwen2ForSequenceClassification", PAD),
    ("qwen2", "Qwen2ForTokenClassification", {"num_labels": 3}),
    ("qwen2", "Qwen2ForQuestionAnswering", {}),
    ("qwen3", "Qwen3Model", {"head_dim": 12}),
    ("qwen3", "Qwen3ForCausalLM", {"attention_bias": True, "num_key_value_heads": 6}),
    ("qwen3", "Qwen3ForCausalLM", {**TIED, "num_key_value_heads": 1}),
    ("qwen3", "Qwen3ForSequenceClassification", PAD),
    ("qwen3", "Qwen3ForTokenClassification", {"num_labels": 3}),
    ("qwen3", "Qwen3ForQuestionAnswering", {}),
    ("roberta", "RobertaModel", PAD),
    ("roberta", "RobertaForMaskedLM", {**PAD, "hidden_act": "relu", "type_vocab_size": 2}),
    ("roberta", "RobertaForMaskedLM", {**PAD, **UNTIED}),
    ("roberta", "RobertaForSequenceClassification", {**PAD, "num_labels": 5}),
    ("roberta", "RobertaForTokenClassification", {**PAD, "num_labels": 3}),
    ("roberta", "RobertaForQuestionAnswering", {}),
    ("xlm-roberta", "XLMRobertaForMaskedLM", PAD),
    ("mixtral", "MixtralModel", {}),
    ("mixtral", "MixtralForCausalLM", {"num_key_value_heads": 6, "hidden_act": "gelu_new"}),
    ("mixtral", "MixtralForCausalLM", {"num_local_experts": 5, "num_experts_per_tok": 3, **TIED}),
    ("mixtral", "MixtralForCausalLM", {"num_experts_per_tok": 1, "head_dim": 12}),
    ("mixtral", "MixtralForSequenceClassification", {**PAD, "num_experts_per_tok": 4}),
]
OUTPUTS = {"hidden": "last_hidden_state", "pooled": "pooler_output", "relation": "seq_relationship_logits"}


def _interpreter(path: Path) -> Interpreter:
    config = read_config(path)
    tensors = load_file(path / "model.safetensors")
    model = bind(detect(config), config, read_headers(path).tensors)
    assert set(tensors) == {name for name, _, _ in model.tensors()}
    return Interpreter(model, tensors.__getitem__)


def _ids(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 31, (3, 11), generator=generator)
    ids[0, -3:] = 3  # padding, for classifiers that read the last token
    ids[1, :2] = 3
    return ids


def _stock(model: Any, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad(), no_float32_islands():
        out = model(ids)
    if "start_logits" in out:
        return {"logits": torch.stack((out.start_logits, out.end_logits), dim=-1)}
    named = {**OUTPUTS, "logits": "prediction_logits" if "prediction_logits" in out else "logits"}
    return {name: out[key] for name, key in named.items() if key in out}


@pytest.mark.parametrize(
    ("family", "architecture", "config"), CASES, ids=[f"{c}-{i}" for i, (_, c, _) in enumerate(CASES)]
)
def test_parity(family: str, architecture: str, config: dict[str, Any], tmp_path: Path) -> None:
    path = tiny_checkpoint(family, tmp_path, architecture=architecture, **config)
    ids = _ids()
    ours = _interpreter(path).outputs(ids)
    stock = _stock(load_float64(path, architecture), ids)
    assert set(ours) == set(stock)
    for name, value in ours.items():
        assert value.shape == stock[name].shape
        spread = stock[name].std().clamp_min(1e-3)
        assert float((value - stock[name]).abs().max() / spread) < 1e-12, name


def test_logits_is_the_first_output_of_a_base_model(tmp_path: Path) -> None:
    interpreter = _interpreter(tiny_checkpoint("bert", tmp_path))
    ids = _ids()
    assert torch.equal(interpreter.logits(ids), interpreter.outputs(ids)["hidden"])


def test_only_one_block_is_asked_for(tmp_path: Path) -> None:
    path = tiny_checkpoint("gpt2", tmp_path)
    interpreter = _interpreter(path)
    asked: list[str] = []
    get = interpreter.get
    interpreter.get = lambda name: asked.append(name) or get(name)  # type: ignore[func-returns-value]
    interpreter.block(1, torch.zeros(1, 2, 48, dtype=torch.float64))
    assert len(asked) == 12
    assert all(name.startswith("transformer.h.1.") for name in asked)


def test_heads_and_head_dim_are_independent(tmp_path: Path) -> None:
    """A model between two steps: 64 units of stream, 6 heads of 8."""
    path = tiny_checkpoint("bert", tmp_path, hidden_size=64, num_attention_heads=8)
    interpreter = _interpreter(path)
    sizes = {**interpreter.model.sizes, "heads": 6}
    tensors = load_file(path / "model.safetensors")

    def get(name: str) -> torch.Tensor:
        tensor = tensors[name]
        if any(part in name for part in ("query", "key", "value")):
            return tensor[:48]
        return tensor[:, :48] if name.endswith("attention.output.dense.weight") else tensor

    smaller = Interpreter(interpreter.model.resized(sizes, interpreter.model.config), get)
    assert smaller.logits(_ids()).shape == (3, 11, 64)


def test_module_and_tied(tmp_path: Path) -> None:
    path = tiny_checkpoint("gpt2", tmp_path)
    interpreter = _interpreter(path)
    modules = interpreter.model.modules
    tensors = {name: tensor.double() for name, tensor in load_file(path / "model.safetensors").items()}
    x = torch.randn(5, 48, dtype=torch.float64)
    fused = interpreter.module(modules["h.attn.c_attn"], 1, x)
    weight, bias = (tensors[f"transformer.h.1.attn.c_attn.{leaf}"] for leaf in ("weight", "bias"))
    assert torch.allclose(fused, x @ weight + bias, rtol=0, atol=1e-13)
    tied = interpreter.tied(modules["wte"], x)
    assert torch.allclose(tied, x @ tensors["transformer.wte.weight"].T, rtol=0, atol=1e-13)


def test_old_rope_spelling(tmp_path: Path) -> None:
    path = tiny_checkpoint("llama", tmp_path, rope_parameters={"rope_type": "default", "rope_theta": 50.0})
    interpreter = _interpreter(path)
    config = dict(interpreter.model.config)
    del config["rope_parameters"]
    config["rope_theta"] = 50.0
    older = Interpreter(interpreter.model.resized(interpreter.model.sizes, config), interpreter.get)
    assert torch.equal(older.logits(_ids()), interpreter.logits(_ids()))


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.mark.parametrize("parameters", [{"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}, LLAMA3])
def test_scaled_rope(parameters: dict[str, Any], tmp_path: Path) -> None:
    """Frequencies against transformers' own (float32), then the whole model."""
    path = tiny_checkpoint("llama", tmp_path, rope_parameters=parameters, head_dim=16)
    interpreter = _interpreter(path)
    stock = load_float64(path, "LlamaForCausalLM")
    frequencies = torch.tensor(read_rope(interpreter.model.config).frequencies(16))
    assert torch.allclose(
        frequencies.float(), stock.model.rotary_emb.original_inv_freq.float(), rtol=1e-5, atol=0
    )
    ids = _ids()
    with torch.no_grad():
        theirs = stock(ids).logits
    assert float((interpreter.logits(ids) - theirs).abs().max() / theirs.std()) < 1e-5
