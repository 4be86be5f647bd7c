"""Models bound from a config.json alone, for tests that need no weights."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from growplan.check import check_plan
from growplan.check.typed import TypedPlan
from growplan.checkpoint.config import Config, read_config
from growplan.families import bind, detect
from growplan.families.model import Model
from growplan.language import parse_text

GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "vocab_size": 50257,
    "n_positions": 1024,
}
BERT: dict[str, Any] = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": 384,
    "num_attention_heads": 12,
    "num_hidden_layers": 6,
    "intermediate_size": 1536,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}
SMOLLM: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 576,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "num_hidden_layers": 30,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "rms_norm_eps": 1e-5,
}
VIT: dict[str, Any] = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "hidden_size": 768,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 16,
    "num_channels": 3,
    "num_labels": 1000,
}
MIXTRAL: dict[str, Any] = {
    **{key: value for key, value in SMOLLM.items() if key != "tie_word_embeddings"},
    "model_type": "mixtral",
    "architectures": ["MixtralForCausalLM"],
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}
CONFIGS = {"mixtral": MIXTRAL, "gpt2": GPT2, "bert": BERT, "smollm": SMOLLM, "vit": VIT}


def read(config: dict[str, Any]) -> Config:
    """A config as if it were read from a file."""
    with TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(config))
        return read_config(folder)


def model(name: str, **config: Any) -> Model:
    """One of the configs above, with keys overridden."""
    found = read({**CONFIGS[name], **config})
    return bind(detect(found), found)


def check(name: str, steps: str, **config: Any) -> TypedPlan:
    """Check steps in the DSL against a model."""
    return check_plan(parse_text(steps, "p.grow", "dsl"), model(name, **config))
