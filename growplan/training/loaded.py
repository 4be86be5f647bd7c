"""A checkpoint as the model that is trained: weights in memory of their own, masks attached, its loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from growplan.backend.stock import load_stock, refuse_problems
from growplan.checkpoint.files import path_exists
from growplan.families.model import Family, Model
from growplan.learn.corpus import Batch
from growplan.learn.fit import drawing, precision, products_of
from growplan.learn.loss import summed
from growplan.learn.model import logits_of, refuse_recomputation
from growplan.methods.operator import Recipe
from growplan.runtime import Attached, attach
from growplan.runtime.parts import Parts
from growplan.runtime.state import STATE

HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Loaded:
    """A model of transformers in `directory`, and its description. `attached`: its masks, if it has some."""

    directory: Path
    model: Model
    module: Any
    attached: Attached | None

    def measure(self, batches: Sequence[Batch], recipe: Recipe) -> float:
        """The mean loss over everything that some batches ask, without dropout."""
        asks = Asks(self, recipe)
        self.module.eval()
        with torch.no_grad():
            total = sum(float(asks.summed(batch)) for batch in batches)
        return total / sum(batch.asked() for batch in batches)


def load(directory: Path, device: torch.device, family: Family) -> Loaded:
    """The checkpoint in `directory`, on a device; half precision becomes float32, so that small steps count.

    Its weights lie in memory of their own: how a product rounds can depend on where a matrix begins, and in a
    file one begins anywhere. Raises GP507 where weights are missing, and what `attach` raises.
    """
    module, found = load_stock(directory)
    found.pop("unexpected_keys")  # buffers of earlier versions; what is not loaded changes nothing
    refuse_problems(directory, found, {})
    if module.dtype in HALF:
        module = module.float()
    module.config.use_cache = False
    refuse_recomputation(module)
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    model, module = Parts.of(module, directory, family).bound, module.to(device)
    attached = attach(module, directory, family=family) if path_exists(directory / STATE) else None
    return Loaded(directory, model, module, attached)


@dataclass(frozen=True)
class Asks:
    """The loss of a model in training. `key` names what dropout draws."""

    of: Loaded
    recipe: Recipe
    key: str = ""

    def backward(self, batch: Batch, step: int, backward: Callable[[Tensor], Any]) -> Tensor:
        """The mean loss of a batch, read in parts; `backward` is called with what each adds to it."""
        module = self.of.module
        module.train(self.recipe.dropout)
        key = self.key if self.recipe.dropout else None
        asked, total = batch.asked(), torch.zeros((), device=module.device)
        for number, part in enumerate(batch.parts(self.recipe.accumulate)):
            with drawing(key, f"{step}/{number}", module.device):
                loss = self.summed(part) / asked
            backward(loss)
            total += loss.detach()
        return total

    def summed(self, batch: Batch) -> Tensor:
        """The loss summed over what some rows ask."""
        module = self.of.module
        device, dtype = module.device, module.dtype
        inputs = batch.inputs.to(device)
        mask = None if batch.mask is None else batch.mask.to(device)
        with precision(products_of(self.recipe, device, dtype), device):
            pixels = inputs.to(dtype) if inputs.is_floating_point() else inputs
            logits = logits_of(module, self.of.model, pixels, mask)
        return summed(logits, batch.targets.to(device))
