"""Which files beside the weights are worth carrying, by name. Data and small predicates only."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from typing import Literal

from growplan.checkpoint.headers import INDEX, SINGLE

Kind = Literal["carry", "written", "weights", "training", "hidden", "unknown"]

SMALL = 10_000_000  # bytes; a file nobody knows is carried below this

# What growplan writes itself, or whose meaning ends with the old weights.
_WRITTEN = (
    "config.json",
    "growth.json",
    "operator.safetensors",
    "growth-state.json",
    "growth-state.safetensors",
    SINGLE,
    INDEX,
)

_CARRY = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "spiece.model",
    "sentencepiece*.model",
    "*.tiktoken",
    "tekken.json",
    "bpe.codes",
    "source.spm",
    "target.spm",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "feature_extractor_config.json",
    "image_processor*.json",
    "chat_template*",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_*_config.json",
    "LICENSE*",
    "LICENCE*",
    "COPYING*",
    "NOTICE*",
    "USE_POLICY*",
    "README.source*.md",
    ".gitattributes",
    ".gitignore",
)

_TRAINING = (
    "optimizer*",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*",
    "trainer_state.json",
    "growth-frozen.json",
    "training_args.bin",
    "zero_to_fp32.py",
    "latest",
    "checkpoint-*",
    "global_step*",
    "runs",
    "wandb",
    "logs",
)

_WEIGHTS = (
    "*.bin",
    "*.safetensors",
    "*.pt",
    "*.pth",
    "*.ckpt",
    "*.h5",
    "*.msgpack",
    "*.ot",
    "*.onnx",
    "*.onnx_data",
    "*.gguf",
    "*.ggml",
    "*.tflite",
    "*.pb",
    "*.mlmodel",
    "*.npz",
    "*.npy",
    "*.pkl",
    "*.pickle",
    "*.joblib",
    "*.safetensors.index.json",
    "*.bin.index.json",
    "*.h5.index.json",
    "*.msgpack.index.json",
    "openvino_*",
)

# Folders that hold the old weights again, for another engine or in another format.
_WEIGHT_FOLDERS = (
    "onnx",
    "openvino",
    "coreml",
    "original",
    "gguf",
    "tflite",
    "torchscript",
    "*.mlpackage",
    "*.mlmodelc",
)

# Folders that belong to a tokenizer or processor; those of modules.json are known besides.
CARRIED_FOLDERS = ("additional_chat_templates",)

_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


def kind_of_file(name: str) -> Kind:
    """What a file of the checkpoint directory is, by its name."""
    if name in _WRITTEN or _SHARD.fullmatch(name):
        return "written"
    if _matches(name, _TRAINING):
        return "training"
    if _matches(name, _WEIGHTS):
        return "weights"
    if _matches(name, _CARRY):
        return "carry"
    return "hidden" if name.startswith(".") else "unknown"


def is_average(name: str) -> bool:
    """Whether a file of weights is a running average of them, by its name: `model_ema.pt`."""
    return "ema" in re.split(r"[._-]", name.lower())


def kind_of_folder(name: str) -> Kind:
    """What a folder is, by its name; folders of modules.json are the caller's matter."""
    if name in CARRIED_FOLDERS:
        return "carry"
    if _matches(name, _TRAINING):
        return "training"
    if _matches(name, _WEIGHT_FOLDERS):
        return "weights"
    return "hidden" if name.startswith(".") or name == "__pycache__" else "unknown"


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
