"""Tiny random checkpoints on disk, written by transformers itself.

Every parameter is random, norms and biases too: a scale of 1 or a bias of 0 hides a
forgotten rewrite. Epsilons are large for the same reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

BASE: dict[str, dict[str, Any]] = {
    "bert": {
        "hidden_size": 48,
        "num_attention_heads": 6,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "vocab_size": 31,
        "max_position_embeddings": 24,
        "layer_norm_eps": 1e-3,
    },
    "gpt2": {
        "n_embd": 48,
        "n_head": 6,
        "n_layer": 2,
        "vocab_size": 31,
        "n_positions": 24,
        "layer_norm_epsilon": 1e-3,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
    "llama": {
        "hidden_size": 48,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "vocab_size": 31,
        "max_position_embeddings": 24,
        "rms_norm_eps": 1e-3,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
    "vit": {
        "hidden_size": 48,
        "num_attention_heads": 6,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "image_size": 20,
        "patch_size": 4,
        "num_channels": 2,
        "layer_norm_eps": 1e-3,
    },
}
BASE["mixtral"] = {**BASE["llama"], "num_local_experts": 4, "num_experts_per_tok": 2}
BASE["deit"] = BASE["vit"]
BASE["mistral"] = {**BASE["llama"], "sliding_window": 4}
BASE["qwen2"] = {**BASE["llama"], "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
BASE["qwen3"] = {**BASE["qwen2"], "head_dim": 8}
BASE["roberta"] = BASE["xlm-roberta"] = {**BASE["bert"], "type_vocab_size": 1, "pad_token_id": 1}
DEFAULT_CLASS = {
    "bert": "BertModel",
    "deit": "DeiTForImageClassificationWithTeacher",
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "roberta": "RobertaForMaskedLM",
    "vit": "ViTForImageClassification",
    "xlm-roberta": "XLMRobertaForMaskedLM",
}
CONFIG_CLASS = {
    "bert": "BertConfig",
    "deit": "DeiTConfig",
    "gpt2": "GPT2Config",
    "llama": "LlamaConfig",
    "mistral": "MistralConfig",
    "mixtral": "MixtralConfig",
    "qwen2": "Qwen2Config",
    "qwen3": "Qwen3Config",
    "roberta": "RobertaConfig",
    "vit": "ViTConfig",
    "xlm-roberta": "XLMRobertaConfig",
}


def tiny_checkpoint(
    family: str,
    path: Path,
    *,
    architecture: str | None = None,
    dtype: str = "float32",
    seed: int = 0,
    max_shard_size: str | None = None,
    **config: Any,
) -> Path:
    """Write a random checkpoint of `family` (a key of `BASE`) and return its folder.

    `architecture` is a transformers class name (`BertForMaskedLM`), `dtype` a torch dtype
    name, `max_shard_size` (`"20KB"`) forces shards, `**config` overrides config keys.
    """
    import torch
    import transformers

    settings = {**BASE[family], **config}
    model_class = getattr(transformers, architecture or DEFAULT_CLASS[family])
    model = model_class(getattr(transformers, CONFIG_CLASS[family])(**settings))
    randomise(model, seed)
    model.to(getattr(torch, dtype))
    shards = {} if max_shard_size is None else {"max_shard_size": max_shard_size}
    model.save_pretrained(path, **shards)
    return path


def randomise(model: Any, seed: int) -> None:
    """Fill every parameter of a torch model: matrices at 1/sqrt(fan in), norms about 1."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim > 1:
                fan_in = 1 if "embed" in name or "wte" in name or "wpe" in name else min(parameter.shape)
                noise = noise / fan_in**0.5
            elif name.endswith("weight"):
                noise = 1 + 0.3 * noise
            else:
                noise = 0.3 * noise
            parameter.copy_(noise)
