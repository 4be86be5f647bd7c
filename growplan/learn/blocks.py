"""The target block by block: the tensors of a block are made when it runs, and made again for its gradient.

Making and running lie inside one checkpoint, so that of all blocks only the inputs are kept, and the
tensors of one block at a time. That is right where the class' own recomputation is wrong: what is
run again is made again too, from the same leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from growplan.diagnostics import fail
from growplan.ir.layers import NUMBER
from growplan.learn.model import Named, Target

Make = Callable[[Sequence[str]], Named]
"""`make(names on disk)`: these tensors."""

Within = Callable[..., Any]
"""`within(run, *args, **kwargs)` gives run(*args, **kwargs)."""


class Blocks:
    """A target whose blocks make their own tensors.

    `inside` has the names on disk of the tensors of each block, `outside` those of all others.
    `within`, where it is set, runs each block, for a caller that has something to do before and after it.
    Raises GP545 where the class does not hold its blocks in one list.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.inside: list[list[str]] = [[] for _ in range(target.model.depth)]
        self.outside: list[str] = []
        for name, _, layer in target.model.tensors():
            (self.outside if layer is None else self.inside[layer]).append(name)
        self.within: Sequence[Within] | None = None
        self._path = container(target)
        self._make: Make | None = None
        for layer, block in enumerate(target.module.get_submodule(self._path)):
            block.forward = partial(self._block, layer, _AsWritten(block))

    def __call__(self, make: Make, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """The logits of the class' own head; `mask` as the target takes it."""
        self._make = make
        try:
            return self.target(make(self.outside), inputs, mask)
        finally:
            self._make = None

    def _block(self, layer: int, block: _AsWritten, *args: Any, **kwargs: Any) -> Any:
        """One block of the forward pass."""
        make, prefix = self._make, f"{self._path}.{layer}."
        assert make is not None, "a block runs as a part of its target"

        def run(*args: Any, **kwargs: Any) -> Any:
            made = self.target.parameters(make(self.inside[layer]))
            own = {f"block.{name.removeprefix(prefix)}": tensor for name, tensor in made.items()}
            return torch.func.functional_call(block, own, args, kwargs)

        whole = partial(checkpoint, run, use_reentrant=False) if torch.is_grad_enabled() else run
        return whole(*args, **kwargs) if self.within is None else self.within[layer](whole, *args, **kwargs)


def container(target: Target) -> str:
    """The path of the list that holds the blocks in the module of the class. Raises GP545."""
    tensors = [(name, layer) for name, _, layer in target.model.tensors() if layer is not None]
    paths = {_before(target.path(name), layer) for name, layer in tensors}
    path = paths.pop() if len(paths) == 1 else None
    if not path or len(target.module.get_submodule(path)) != target.model.depth:
        message = f"{target.model.architecture} does not hold its layers in one list"
        fail(
            "GP545", message, help="leave `checkpoint blocks` or `--shard` out; `accumulate N` spares memory"
        )
    return path


def _before(name: str, layer: int) -> str | None:
    """What stands before the number of the layer in a parameter's name; None where it is another number."""
    number = NUMBER.search(name)
    return name[: number.start() - 1] if number is not None and int(number[0]) == layer else None


class _AsWritten(torch.nn.Module):
    """A block as its class runs it, whatever its `forward` has become."""

    def __init__(self, block: torch.nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the block's class computes."""
        return type(self.block).forward(self.block, *args, **kwargs)
