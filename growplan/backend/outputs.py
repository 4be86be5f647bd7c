"""The map of every output of a model's head in a step: one more meaning of the op graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from growplan.algebra import Expansion
from growplan.families.model import Model, Module
from growplan.families.walk import run
from growplan.ir.graph import Step


def output_maps(step: Step, before: Model) -> dict[str, Expansion]:
    """Output of the head -> E. A step that speaks of no modules leaves them alone."""
    stream = step.stream or Expansion.identity(before.sizes["hidden"])
    env = run(before.head_stmts, {"x": stream}, before.modules, _Maps(step, before))
    return {name: env[name] for name in before.outputs}


class _Maps:
    """`walk.Ops` over expansions, as the step's modules declare them."""

    def __init__(self, step: Step, model: Model) -> None:
        self.model = model
        self.out = {m.module: m.e_out for m in step.modules if m.kind != "tied"}
        self.tied = {m.module: m.e_out for m in step.modules if m.kind == "tied"}

    def module(self, module: Module, x: Expansion) -> Expansion:
        return self.out.get(module.name) or Expansion.identity(module.outs.size(self.model.sizes))

    def op(self, name: str, args: Sequence[Expansion | Module], kwargs: Mapping[str, Any]) -> Expansion:
        if name == "tied":
            (embedding,) = (a for a in args if isinstance(a, Module))
            assert embedding.ins is not None
            return self.tied.get(embedding.name) or Expansion.identity(embedding.ins.size(self.model.sizes))
        return next(a for a in args if isinstance(a, Expansion))

    def add(self, a: Expansion, b: Expansion) -> Expansion:
        return a

    def mul(self, a: Expansion, b: Expansion) -> Expansion:
        return a

    def split(self, x: Expansion, module: Module, parts: int) -> Sequence[Expansion]:
        raise TypeError(f"a head does not split {module.name}")
