"""Parameters that hold several tensors of the disk: the experts of a mixture, packed by transformers.

    experts.E.w1, experts.E.w3 : ffn x hidden each   ->   gate_up_proj : experts x 2 ffn x hidden

Which rows of which parameter a tensor is, transformers itself says: its conversion to the disk is run
on numbered rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """A parameter whose rows are those of tensors on disk, one after the other; `names` in this order."""

    names: tuple[str, ...]
    shape: tuple[int, ...]

    def of(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The parameter, with gradients to every tensor. KeyError for one that is not given."""
        rows = [tensors[name].reshape(-1, self.shape[-1]) for name in self.names]
        return torch.cat(rows).view(self.shape)


def find_packed(module: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Packed]:
    """Name in memory -> how it is packed, for the parameters in `shapes` that are whole rows of tensors.

    A parameter that is made in another way (its rows cut or turned) is left out.
    """
    try:
        from transformers.core_model_loading import revert_weight_conversion
    except ImportError:  # before it packed anything
        return {}
    rows = {name: prod(shape[:-1]) for name, shape in shapes.items() if len(shape) > 1}
    starts, total = dict[str, int](), 0
    for name, count in rows.items():
        starts[name], total = total, total + count
    numbered = {
        name: torch.arange(starts[name], starts[name] + count).view(*shapes[name][:-1], 1)
        for name, count in rows.items()
    }
    found: dict[int, tuple[str, int]] = {}  # first row -> (name on disk, rows)
    for name, part in revert_weight_conversion(module, numbered).items():
        numbers = part.flatten()
        if part.shape[-1:] == (1,) and bool((numbers == numbers[0] + torch.arange(len(numbers))).all()):
            found[int(numbers[0])] = (name, len(numbers))
    packed: dict[str, Packed] = {}
    for name, start in starts.items():
        names, at = list[str](), start
        while at < start + rows[name] and at in found:
            names.append(found[at][0])
            at += found[at][1]
        if at == start + rows[name]:
            packed[name] = Packed(tuple(names), shapes[name])
    return packed
