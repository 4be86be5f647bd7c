"""How a fit is spread over the ranks of a run; here: a whole operator on each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from growplan.learn.corpus import Batch
from growplan.learn.ranks import ALONE, Ranks

Leaves = Mapping[str, Tensor]


class Spread(Protocol):
    """Where leaves and rows lie, and what ranks must say to each other. All ranks call all of it."""

    @property
    def ranks(self) -> Ranks:
        """The ranks of the run."""

    def leaves(self, values: Leaves, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        """This rank's part of the leaves, to be trained, from all their values."""

    def view(self, leaves: Leaves) -> Leaves:
        """Leaves as tensors are made from them: whole while `run` runs something."""

    def like(self, leaf: Tensor, values: Tensor) -> Tensor:
        """This rank's part of values that belong to a leaf, from all of them."""

    def whole(self, part: Tensor) -> Tensor:
        """All of a tensor of which each rank has what it has of a leaf."""

    def apart(self) -> AbstractContextManager[None]:
        """Around what every rank does with its own rows."""

    def share(self, batch: Batch) -> Batch:
        """The rows that this rank reads."""

    def run(self, loss: Callable[[], Tensor]) -> Tensor:
        """The loss of some rows."""

    def add_up(self, leaves: Iterable[Tensor]) -> None:
        """Make the gradients of leaves those of all rows."""


@dataclass(frozen=True)
class Copies:
    """Every rank has the whole operator, and adds up the gradients when all have theirs."""

    ranks: Ranks = ALONE

    def leaves(self, values: Leaves, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        """All of them, in memory of their own.

        How a product rounds can depend on where in memory a matrix begins, and one of a file begins anywhere.
        """
        return {name: values[name].to(device, dtype, copy=True).requires_grad_() for name in sorted(values)}

    def view(self, leaves: Leaves) -> Leaves:
        """The leaves."""
        return leaves

    def like(self, leaf: Tensor, values: Tensor) -> Tensor:
        """All values."""
        return values.to(leaf.device, leaf.dtype).clone()

    def whole(self, part: Tensor) -> Tensor:
        """The tensor."""
        return part.detach()

    def apart(self) -> AbstractContextManager[None]:
        """What fails on one rank fails on all."""
        return self.ranks.together()

    def share(self, batch: Batch) -> Batch:
        """This rank's rows; none where there are fewer rows than ranks."""
        return batch.share(self.ranks.rank, self.ranks.world)

    def run(self, loss: Callable[[], Tensor]) -> Tensor:
        """The loss."""
        return loss()

    def add_up(self, leaves: Iterable[Tensor]) -> None:
        """Sum the gradients over the ranks; a leaf that no rank's rows reach has none, as on one rank."""
        if self.ranks.world == 1:
            return
        moved = list(leaves)
        grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in moved]
        reached = torch.stack([grads[0].new_tensor(leaf.grad is not None) for leaf in moved])
        self.ranks.add([reached, *grads])
        for leaf, grad, count in zip(moved, grads, reached.tolist(), strict=True):
            leaf.grad = grad if count else None
