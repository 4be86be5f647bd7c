"""Real gradients of stock models in float64, and gradients moved by the rules, to hold against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from growplan.families.model import Model
from growplan.ir.moment_rules import MomentRules
from growplan.ir.moments import Moved
from growplan.ir.slices import Axis
from growplan.language import parse_text
from growplan.learn.model import names_in_memory
from growplan.pipeline import Compiled, compile_plan, moments_of
from tests.float64 import load_float64, no_float32_islands
from tests.matrix.cases import VARIANTS
from tests.matrix.run import grow, inputs_for, write_source

BY_NAME = {variant.name: variant for variant in VARIANTS}
Gradients = Mapping[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A tiny model, grown: both directories, the compile, and the rules of its moments."""

    source: Path
    target: Path
    compiled: Compiled
    rules: MomentRules

    def modules(self) -> tuple[Any, Any]:
        """Source and target by their stock classes, in float64."""
        models = (self.rules.source, self.rules.target)
        a, b = (
            load_float64(path, m.architecture)
            for path, m in zip((self.source, self.target), models, strict=True)
        )
        return a, b


def case(name: str, steps: str, folder: Path) -> Case:
    source = write_source(BY_NAME[name], folder / "source")
    grow(source, steps, folder / "target")
    return compiled_case(source, folder / "target", steps)


def compiled_case(source: Path, target: Path, steps: str) -> Case:
    compiled = compile_plan(parse_text(steps, "<test>", "dsl"), model_dir=source, stop_after="lower")
    return Case(source, target, compiled, moments_of(compiled))


def loss(module: Any, inputs: Tensor, seed: int = 1) -> Tensor:
    """Cross entropy of the logits with random labels, which do not depend on the model's size."""
    with no_float32_islands():
        out = module(inputs)
    logits = out.logits
    labels = torch.randint(
        0, logits.shape[-1], logits.shape[:-1], generator=torch.Generator().manual_seed(seed)
    )
    found: Tensor = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.flatten())
    return found


def parameters(model: Model, module: Any) -> dict[str, Tensor]:
    """Tensor on disk -> its parameter in memory."""
    names, packed = names_in_memory(model, module)
    assert not packed
    named = dict(module.named_parameters(remove_duplicate=False))
    return {disk: named[name] for disk, name in names.items()}


def gradients(model: Model, module: Any) -> Gradients:
    """The gradient of `loss` at every tensor, by name on disk."""
    module.zero_grad()
    loss(module, inputs_for(model)).backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in parameters(model, module).items()
    }


def both_gradients(made: Case) -> tuple[Gradients, Gradients]:
    old, new = made.modules()
    return gradients(made.rules.source, old), gradients(made.rules.target, new)


def moved(rule: Moved, old: Gradients) -> tuple[Tensor, Tensor]:
    """(what the rule makes of the old gradient, where it says anything)."""
    assert rule.source is not None
    x = old[rule.source]
    known = torch.ones([1] * x.ndim, dtype=torch.bool)
    for dim, axis in enumerate(rule.axes):
        matrix, said = dense(axis, x.shape[dim])
        x = torch.movedim(torch.tensordot(matrix, x, ([1], [dim])), 0, dim)
        shape = [1] * x.ndim
        shape[dim] = -1
        known = known & said.view(shape)
    return x, known.expand(x.shape)


def dense(axis: Axis, old: int) -> tuple[Tensor, Tensor]:
    """The matrix of an axis of a rule, and which of its rows say something."""
    matrix = torch.zeros(axis.size, old, dtype=torch.float64)
    said = torch.zeros(axis.size, dtype=torch.bool)
    at = 0
    for part in axis.parts:
        for i in range(part.count):
            if part.kind == "copy":
                matrix[at + i, part.start + i] = float(part.c)
            said[at + i] = part.kind in ("copy", "zero")
        at += part.count
    return matrix, said
