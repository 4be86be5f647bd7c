"""Directories that hold a model growplan does not read: named, with the way to convert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from growplan.diagnostics import Span, fail

_SAVE = (
    "load it with transformers and save it again: "
    "`AutoModel.from_pretrained(DIR, {extra}).save_pretrained(NEW)` writes safetensors"
)
_LOADED = {"model.safetensors", "model.safetensors.index.json"}
_TF_FILES = ("tf_model.h5", "flax_model.msgpack", "model.ckpt.index", "rust_model.ot")


def refuse_adapter(directory: Path, names: frozenset[str]) -> None:
    """GP411 for a PEFT directory."""
    if "adapter_config.json" in names:
        fail(
            "GP411",
            f"{directory} is a PEFT adapter, not a whole model",
            notes=[("found", "adapter_config.json")],
            help="merge it into its base first: "
            "`PeftModel.from_pretrained(base, DIR).merge_and_unload().save_pretrained(NEW)`",
        )


def refuse_quantized(directory: Path, config: dict[str, Any], span: Span | None) -> None:
    """GP412 for GPTQ, AWQ, bitsandbytes and every other `quantization_config`."""
    settings = config.get("quantization_config")
    if settings is None:
        return
    method = settings.get("quant_method", "unknown") if isinstance(settings, dict) else "unknown"
    fail(
        "GP412",
        f"{directory} holds quantized weights ({method}); growing needs the real ones",
        span,
        help=(
            "start from the unquantized checkpoint it was made of",
            "or dequantize it: `model = AutoModelForCausalLM.from_pretrained(DIR); "
            "model.dequantize(); model.save_pretrained(NEW)`",
        ),
    )


def refuse_weights(directory: Path, names: frozenset[str]) -> None:
    """GP410 when the weights are there, in a format that growplan does not read; else return."""
    gguf = sorted(n for n in names if n.endswith(".gguf"))
    torch = sorted(n for n in names if n.startswith("pytorch_model") and n.endswith((".bin", ".index.json")))
    other = sorted(n for n in names if n in _TF_FILES)
    safe = sorted(n for n in names if n.endswith(".safetensors"))
    if _LOADED & names:
        return
    if torch:
        _refuse(
            directory,
            torch[0],
            "a pickle, which can run code when it is opened",
            _SAVE.replace(", {extra}", ""),
        )
    if gguf:
        _refuse(directory, gguf[0], "llama.cpp's format", _SAVE.format(extra=f"gguf_file={gguf[0]!r}"))
    if other:
        extra = "from_flax=True" if "flax" in other[0] else "from_tf=True"
        help = _SAVE.format(extra=extra) + " (transformers 4; version 5 reads PyTorch only)"
        _refuse(directory, other[0], "TensorFlow, Flax or Rust weights", help)
    if safe:
        help = f"rename it to model.safetensors if it is the whole model: `mv {safe[0]} model.safetensors`"
        _refuse(directory, safe[0], "not a name that transformers loads", help)


def _refuse(directory: Path, name: str, what: str, help: str) -> None:
    fail("GP410", f"{directory} has no model.safetensors, only {name}", notes=[("found", what)], help=help)
