"""transformers' gradient checkpointing, beside parts of a model that are frozen.

With it on, transformers asks for a gradient at what the embeddings put out, so that reentrant checkpoints
have one to begin with. Below the lowest trained layer that keeps a graph, and runs every frozen block twice.
"""

from __future__ import annotations

from typing import Any


def recomputation(model: Any) -> dict[str, Any] | None:
    """The keywords of the checkpoints that a model's blocks run in; None where it keeps its activations."""
    for module in model.modules():
        if getattr(module, "gradient_checkpointing", False):
            return dict(getattr(module._gradient_checkpointing_func, "keywords", {}))
    return None


def recompute(model: Any, keywords: dict[str, Any]) -> None:
    """Switch gradient checkpointing on; by the name that transformers has for it."""
    name = "activation_checkpointing_enable"
    if not hasattr(model, name):
        name = "gradient_checkpointing_enable"
    getattr(model, name)(keywords)


def unmark_inputs(model: Any) -> bool:
    """Ask for no gradient at the embeddings' output, where no checkpoint needs it; whether it was asked."""
    marked = getattr(model, "_require_grads_hooks", None) or getattr(model, "_require_grads_hook", None)
    keywords = recomputation(model)
    if not marked or keywords is None or keywords.get("use_reentrant") is not False:
        return False
    model.disable_input_require_grads()
    return True
