"""The tensors of a fit that no leaf reaches: made once, and kept for every step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Constants:
    """Tensors by the value that each is in the graph, whole, on the device of the fit."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}
        self._stacks: dict[tuple[str, ...], Tensor] = {}

    def keep(self, value: str, tensor: Tensor) -> None:
        """Add one."""
        self._kept[value] = tensor

    def __contains__(self, value: str) -> bool:
        return value in self._kept

    def __getitem__(self, value: str) -> Tensor:
        return self._kept[value]

    def blend(self, weights: Tensor, values: Sequence[str]) -> Tensor:
        """Sums of tensors of one shape: weights [rows, values] -> [rows, elements]."""
        return weights @ self.stacked(tuple(values)).flatten(1)

    def stacked(self, values: tuple[str, ...]) -> Tensor:
        """Tensors of one shape as one [values, ...], of which they are views from then on."""
        if values not in self._stacks:
            stack = torch.stack([self._kept[value] for value in values])
            for i, value in enumerate(values):  # what is kept twice is kept once
                self._kept[value] = stack[i]
            self._stacks[values] = stack
        return self._stacks[values]
