"""Random inputs for a model: token ids, or pixels of the size that it reads."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from growplan.families.model import Model
from growplan.families.positions import longest_input

BATCH, TOKENS = 2, 16


def random_inputs(model: Model, random: torch.Generator) -> Tensor:
    """Ids of the vocabulary [2, tokens], or pixels [2, channels, size, size]."""
    sizes = model.sizes
    if model.inputs == "image":
        shape = (BATCH, sizes["channels"], sizes["image"], sizes["image"])
        return torch.randn(shape, generator=random, dtype=torch.float64)
    tokens = min(TOKENS, longest_input(model) or TOKENS)
    return torch.randint(0, sizes["vocab"], (BATCH, tokens), generator=random)


def fitted(inputs: Tensor, model: Model) -> Tensor:
    """The inputs as `model` reads them: an image of another size is resized (bicubic); ids stay."""
    return resized(inputs, model.sizes["image"]) if model.inputs == "image" else inputs


def resized(pixels: Tensor, size: int) -> Tensor:
    """[batch, channels, old, old] -> [batch, channels, size, size], bicubic."""
    if pixels.shape[-1] == size:
        return pixels
    return F.interpolate(pixels, size=(size, size), mode="bicubic", align_corners=False)
