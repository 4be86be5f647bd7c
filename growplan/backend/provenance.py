"""Where copies come from, bit by bit: what can be asserted of a step that preserves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from growplan.backend.evaluate import ModelView
from growplan.ir.graph import Step


def moved(step: Step, old: ModelView, new: ModelView) -> Iterator[tuple[str, str]]:
    """(tensor, source) of every tensor that is not the copy its step says it is."""
    for entry in step.provenance:
        if new.values[entry.tensor] == old.values[entry.source]:
            continue  # the same value of the graph
        if not bit_equal(new.get(entry.tensor), old.get(entry.source)):
            yield entry.tensor, entry.source


def bit_equal(a: Tensor, b: Tensor) -> bool:
    """Equal shape, dtype and bits; NaN equals itself."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))
