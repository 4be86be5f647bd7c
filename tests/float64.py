"""transformers in float64 throughout: a test-only patch of the float32 islands of LLaMA and its kin.

RMSNorm, rotary tables and routers are computed in float32 by transformers whatever the dtype of
the model, which hides what an exact growth keeps to 1e-14 (sdpa attention has no such island).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock


def _rms_norm(self: Any, x: Any) -> Any:
    return self.weight * x / (x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon).sqrt()


def _rotary(self: Any, x: Any, position_ids: Any) -> Any:
    import torch

    config = self.config
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    theta = config.rope_parameters["rope_theta"]
    inverse = 1.0 / theta ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = position_ids[..., None].double() * inverse
    table = torch.cat((angles, angles), dim=-1)
    return table.cos().to(x.dtype), table.sin().to(x.dtype)


def _router(self: Any, x: Any) -> Any:
    import torch

    logits = torch.nn.functional.linear(x.reshape(-1, self.hidden_dim), self.weight)
    weights, chosen = torch.topk(logits.softmax(-1), self.top_k, dim=-1)
    return logits, weights / weights.sum(-1, keepdim=True), chosen


@contextmanager
def no_float32_islands() -> Iterator[None]:
    """Inside, the stock classes of LLaMA and its kin compute norms and rotary tables in float64."""
    from importlib import import_module

    with ExitStack() as stack:
        for name in ("Llama", "Mistral", "Mixtral", "Qwen2", "Qwen3"):
            module = import_module(f"transformers.models.{name.lower()}.modeling_{name.lower()}")
            stack.enter_context(mock.patch.object(getattr(module, f"{name}RMSNorm"), "forward", _rms_norm))
            rotary = getattr(module, f"{name}RotaryEmbedding")
            stack.enter_context(mock.patch.object(rotary, "forward", _rotary))
            if name == "Mixtral":
                stack.enter_context(mock.patch.object(module.MixtralTopKRouter, "forward", _router))
        yield


def load_float64(path: Any, architecture: str) -> Any:
    """`from_pretrained` upcast to float64, in eval mode, with nothing missing or unexpected."""
    import torch
    import transformers

    cls = getattr(transformers, architecture)
    model, info = cls.from_pretrained(path, output_loading_info=True, experts_implementation="eager")
    assert not info["missing_keys"], info
    assert not info["unexpected_keys"], info
    assert not info["mismatched_keys"], info
    return model.to(torch.float64).eval()
