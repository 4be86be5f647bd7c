"""Projections whose output goes straight into a norm, and not into the residual stream.

Where a norm stands between a branch and the stream (Res-Post-Norm, x + LN(f(x)): Swin V2,
arXiv 2111.09883; OLMo 2), the branch may be padded in another way than the stream: mean rows
before a LayerNorm come out of it as zero rows, which the stream can hold. The role
`hidden/branch` of a candidate says how. Such a norm also takes on the scale of a rescaled stream.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from growplan.families.axes import STREAM
from growplan.families.model import Model, Module
from growplan.families.walk import run

BRANCH = "hidden/branch"


def branches(model: Model) -> frozenset[str]:
    """The projections that put out `hidden` units which only norms read."""
    found = (model.modules[name] for name, readers in _readers(model).items() if readers == {"norm"})
    return frozenset(m.name for m in found if m.outs == STREAM and not m.is_norm)


def norms_into_stream(model: Model) -> frozenset[str]:
    """The norms whose output is only ever added to something: they put out the stream's own map."""
    found = (name for name, readers in _readers(model).items() if readers == {"+"})
    return frozenset(name for name in found if model.modules[name].is_norm)


def _readers(model: Model) -> Mapping[str, set[str]]:
    """What reads each module's output: `norm`, `+`, or anything else."""
    ops = _Readers()
    inputs: Mapping[str, str | None] = dict.fromkeys(("ids", "positions", "types", "pixels", "mask"))
    env = run(model.embed, dict(inputs), model.modules, ops)
    env = run(model.block, env, model.modules, ops)
    run(model.head_stmts, env, model.modules, ops)
    return ops.readers


@dataclass(frozen=True)
class _Readers:
    """`walk.Ops` over the module that put a value out: who reads it."""

    readers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def module(self, module: Module, x: str | None) -> str | None:
        self._read(x, "norm" if module.is_norm else "other")
        return module.name

    def op(self, name: str, args: Sequence[str | Module | None], kwargs: Mapping[str, Any]) -> str | None:
        for arg in args:
            self._read(arg.name if isinstance(arg, Module) else arg, name)
        return None

    def add(self, a: str | None, b: str | None) -> str | None:
        return self.op("+", (a, b), {})

    def mul(self, a: str | None, b: str | None) -> str | None:
        return self.op("*", (a, b), {})

    def split(self, x: str | None, module: Module, parts: int) -> Sequence[str | None]:
        return [x] * parts

    def _read(self, value: str | None, by: str) -> None:
        if value is not None:
            self.readers[value].add(by)
