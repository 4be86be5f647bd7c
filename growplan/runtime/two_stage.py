"""bert2BERT's first stage (arXiv 2110.07143): every step trains a sub-model, a bottom prefix of the layers.

A step draws one of the prefixes of b, 2b, ... layers, runs it with the model's own embeddings and head,
and updates the top b layers of it alone. What lies below keeps no graph, and what lies above does not
run. In the second stage the whole model is trained.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growplan.diagnostics import fail
from growplan.families.model import Family
from growplan.methods.base import uniform
from growplan.runtime.freezing import training_only
from growplan.runtime.parts import Parts


@dataclass(frozen=True)
class SubModels:
    """The sub-models of `model`: bottom prefixes of `each`, 2 `each`, ... layers.

    Which one a step trains is a function of `seed` and the step's number. `also`: parameters in memory
    that every step trains beside the top layers (`runtime.selected`).
    """

    parts: Parts
    each: int
    seed: int = 0
    also: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        model: Any,
        directory: Path | str,
        each: int,
        *,
        seed: int = 0,
        also: frozenset[str] = frozenset(),
        family: Family | str | Path | None = None,
    ) -> SubModels:
        """Raises GP593 where `each` does not divide the number of layers."""
        parts = Parts.of(model, directory, family)
        depth = parts.bound.depth
        if not 1 <= each <= depth or depth % each:
            ways = ", ".join(str(n) for n in range(1, depth + 1) if depth % n == 0)
            fail("GP593", f"{depth} layers are no whole number of {each}", help=f"one of {ways}")
        return cls(parts, each, seed, also)

    @property
    def depths(self) -> Sequence[int]:
        """The numbers of layers that a sub-model can have."""
        return range(self.each, self.parts.bound.depth + 1, self.each)

    def depth(self, step: int) -> int:
        """The number of layers of the sub-model that step `step` (from 0) trains."""
        choices = self.depths
        return choices[int(uniform(f"{self.seed}/sub-model/{step}").random() * len(choices))]

    def trained(self, step: int) -> frozenset[str]:
        """The parameters in memory that step `step` trains."""
        depth = self.depth(step)
        top = range(depth - self.each, depth)
        return self.also | {name for name, (_, layer) in self.parts.places.items() if layer in top}

    @contextmanager
    def at(self, step: int) -> Iterator[int]:
        """Inside, the model is the sub-model of `step`, and only its top is trained; gives its depth.

        Forward and backward of the step belong inside; save the model outside.
        """
        depth = self.depth(step)
        path = self.parts.block_path(0).rpartition(".")[0]
        layers = self.parts.model.get_submodule(path)
        whole = layers._modules
        with training_only(self.parts.model, self.trained(step)):
            layers._modules = OrderedDict(list(whole.items())[:depth])
            try:
                yield depth
            finally:
                layers._modules = whole
