"""Configs and tensor headers for the family tests, without files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growplan.checkpoint.config import Config
from growplan.checkpoint.strictjson import Codes, parse_json
from growplan.families import Model, bind, detect

BERT: dict[str, Any] = {
    "architectures": ["BertForMaskedLM"],
    "model_type": "bert",
    "hidden_size": 48,
    "num_attention_heads": 6,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "vocab_size": 31,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
}
GPT2: dict[str, Any] = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "n_embd": 48,
    "n_head": 6,
    "n_inner": None,
    "n_layer": 3,
    "vocab_size": 31,
    "n_positions": 24,
}
LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 48,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "vocab_size": 31,
    "max_position_embeddings": 24,
    "rms_norm_eps": 1e-5,
}
MISTRAL: dict[str, Any] = {**LLAMA, "architectures": ["MistralForCausalLM"], "model_type": "mistral"}
QWEN2: dict[str, Any] = {**LLAMA, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
QWEN3: dict[str, Any] = {**LLAMA, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 8}
ROBERTA: dict[str, Any] = {**BERT, "architectures": ["RobertaForMaskedLM"], "model_type": "roberta"}
CONFIGS = {
    "roberta": ROBERTA,
    "bert": BERT,
    "gpt2": GPT2,
    "llama": LLAMA,
    "mistral": MISTRAL,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
}


@dataclass(frozen=True)
class Tensor:
    """A header's entry."""

    dtype: str
    shape: tuple[int, ...]


def config(data: Mapping[str, Any]) -> Config:
    """As `read_config` gives it, one key a line."""
    codes = Codes(syntax="GP301", duplicate="GP302", help="correct it")
    document = parse_json(json.dumps(data, indent=2), Path("config.json"), codes, "config.json")
    return Config(document.path, document.data, document.source, document.keys, document.values)


def model(family: str, **changes: Any) -> Model:
    """The model of a config with some keys changed."""
    described = config({**CONFIGS[family], **changes})
    return bind(detect(described), described)


def headers(model: Model, dtype: str = "F32") -> dict[str, Tensor]:
    """The tensors a checkpoint of the model has."""
    return {name: Tensor(dtype, model.shape(param)) for name, param, _ in model.tensors()}
