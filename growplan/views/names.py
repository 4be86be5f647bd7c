"""Words for values that several views show: sizes, models, claims."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from growplan.check.typed import Cost, TypedStep
    from growplan.families.model import Model
    from growplan.methods.base import Claim

AXIS_ORDER = (
    "hidden",
    "heads",
    "kv_heads",
    "head_dim",
    "ffn",
    "experts",
    "active",
    "depth",
    "vocab",
    "positions",
    "image",
)


HOW = {
    "even copies": "every unit is copied equally often",
    "mean rows": "new units hold the mean of the old ones",
    "zero rows": "new units hold 0",
    "random copies": "new units copy old ones drawn at random",
    "circular copies": "new units copy old ones in order",
    "random copies of the layer above": "new units are those of the next layer, drawn at random",
    "circular copies of the layer above": "new units are those of the next layer, in order",
    "zero rows behind norms": "new units hold 0, and the mean before a norm that feeds the stream",
    "mean rows, rescaled": "new units hold the mean of the old ones, on a stream that no epsilon feels",
    "zero rows, rescaled": "new units hold 0, on a stream that no epsilon feels",
    "block-diagonal copies": "the model twice, each copy reading its own",
    "zero dims": "queries of the new dims are 0, so no score moves",
    "zero dims in each rotary half": "queries of the new dims are 0, and rotary pairs stay pairs",
    "unchanged": "no weight moves",
    "copies": "new units are copies of old ones",
    "masked units": "new units are there, and not yet read",
    "masked rows": "new units are there, and not yet written",
    "masked blocks": "new layers are there, and not yet heard",
    "fresh rows": "new units are drawn like the old ones",
    "silent units": "new units read nothing yet, and write what is measured on data",
    "gated silent units": "new gates are 0, and the units behind them write what is measured on data",
    "rows at the mean": "new rows hold the mean of the old ones",
    "copied rows": "new rows copy the old ones in order",
    "bicubic": "positions are interpolated over the grid of patches",
    "stack appended": "the layers, then the same layers again",
    "layers copied": "new layers are copies of old ones",
    "fresh layers": "new layers are drawn as at the start of training",
    "layers predicted": "new layers are what networks make of the two around them",
    "identity blocks": "new layers add nothing yet",
    "operators of each layer": "each layer has its own for queries, keys, values and the ffn",
    "a tensor ring": "all blocks of all old layers are summed up, by one ring of cores",
    "tensor rings": "blocks of all old layers are summed up, by a ring of cores for each two axes",
    "operators shared by all layers": "one for queries, one for keys, one for values, one for the ffn",
    "experts that are copies": "every expert is the ffn",
    "experts that are shards": "the ffn is cut, and every expert is a piece of it",
}


def how(candidate: str) -> str:
    """`mean rows (new units hold the mean of the old ones)`."""
    return f"{candidate} ({HOW[candidate]})" if candidate in HOW else candidate


def reasons(step: TypedStep) -> list[str]:
    """The reasons of a step's proof, without what stands beside them: candidate and violations."""
    listed = {f"{v.module}: {v.reason}; {v.bound}" for v in step.violations}
    return [r.removeprefix(f"{step.candidate}: ") for r in step.proof.reasons if r not in listed]


def shown_axes(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """The well-known axes, and any other that changes."""
    axes = axes_in_order({**before, **after})
    return [axis for axis in axes if axis in AXIS_ORDER or before.get(axis) != after.get(axis)]


def axes_in_order(sizes: Mapping[str, int]) -> list[str]:
    """The axes of a model, the well-known ones first."""
    known = [axis for axis in AXIS_ORDER if axis in sizes]
    return known + [axis for axis in sizes if axis not in AXIS_ORDER]


def near(path: os.PathLike[str]) -> str:
    """A path as one would type it here: relative where it lies below the working directory."""
    relative = os.path.relpath(path)
    return os.fspath(path) if relative.startswith("..") else relative


def model_line(model: Model) -> str:
    """`bert, BertModel, F32`."""
    tied = ["tied head"] * model.tied
    return ", ".join([model.family.name, model.architecture, model.dtype, *tied])


def step_title(step: TypedStep) -> str:
    """`widen hidden 384→768 via fpi`, or what is implied and why."""
    if step.implied is None:
        return step.text
    if not step.axes:
        return f"implied: {step.text} ({step.implied})"
    return f"implied: {growth_words(step.axes)} via {step.method} ({equation(step)})"


def growth_words(axes: Sequence[tuple[str, int, int]]) -> str:
    """`heads 12→24, kv_heads 4→8`."""
    return ", ".join(f"{axis} {old}→{new}" for axis, old, new in axes)


def equation(step: TypedStep) -> str:
    """The equation that implies a step, with the sizes that it does not change filled in.

    `hidden = heads * head_dim`   ->   `hidden = heads · 32`
    """
    import re

    text = (step.implied or "").replace("==", "=").replace("*", " · ")
    named = {axis for axis, _, _ in step.axes}
    left, equals, right = text.partition("=")

    def fill(match: re.Match[str]) -> str:
        word = match[0]
        constant = word == "head_dim" and word not in named and word in step.after.sizes
        return str(step.after.sizes[word]) if constant else word

    right = re.sub(r"[A-Za-z_]\w*", fill, right)
    return " ".join(f"{left}{equals}{right}".split())


def claim_data(claim: Claim) -> dict[str, str]:
    """A claim as plain values."""
    return {"strength": claim.strength, "domain": ", ".join(claim.domain) or "all", "where": claim.where}


def cost_data(cost: Cost) -> dict[str, int]:
    """A cost as plain values."""
    return {
        "parameters": cost.parameters,
        "active_parameters": cost.active,
        "flops_per_token": cost.flops_per_token,
        "bytes": cost.bytes,
        "largest_tensor": cost.largest_tensor,
    }


def model_data(model: Model) -> dict[str, Any]:
    """What a model is, as plain values."""
    return {
        "family": model.family.name,
        "architecture": model.architecture,
        "dtype": model.dtype,
        "tied": model.tied,
        "sizes": {axis: model.sizes[axis] for axis in axes_in_order(model.sizes)},
    }
