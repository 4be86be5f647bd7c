"""What a block does with the residual stream, read off its op graph: no family is known by name.

A block is *silent* when every module that writes the stream is zero. What is left then is the
input itself (pre-norm), or the input passed through norms that stand in line (post-norm).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from growplan.families.model import Add, Call, Expr, Model, Module, Name
from growplan.families.walk import run, subexpressions


def writers(model: Model) -> tuple[str, ...]:
    """The linear modules whose output is added to the residual stream, in block order."""
    made_by: dict[str, str] = {}  # value -> the module that put it out
    found: list[str] = []
    for statement in model.block:
        for expr in subexpressions(statement.value):
            if isinstance(expr, Add):
                sides = (_maker(side, made_by) or "" for side in (expr.left, expr.right))
                found += [side for side in sides if side in model.modules]
        for target in statement.targets:
            made_by[target] = _maker(statement.value, made_by) or ""
    return tuple(dict.fromkeys(name for name in found if model.modules[name].kind == "linear"))


def _maker(expr: Expr, made_by: Mapping[str, str]) -> str | None:
    match expr:
        case Call("route", (_, z), _):
            return _maker(z, made_by)
        case Call(fn, _, _):
            return fn
        case Name(id):
            return made_by.get(id)
        case _:
            return None


@dataclass(frozen=True)
class Through:
    """The block's input after these norms, first one first."""

    norms: tuple[str, ...] = ()


Value = Through | Literal["zero", "other"]


def in_line_norms(model: Model) -> tuple[str, ...] | None:
    """The norms that a silent block passes its input through; None where it does anything else.

    () is pre-norm: the block returns its input.
    """
    stream: Value = Through()
    out = run(model.block, {"x": stream}, model.modules, _Silent(frozenset(writers(model))))["x"]
    return out.norms if isinstance(out, Through) else None


@dataclass(frozen=True)
class _Silent:
    """`families.walk.Ops` over abstract values of a silent block."""

    silenced: frozenset[str]

    def module(self, module: Module, x: Value) -> Value:
        if module.is_norm and isinstance(x, Through):
            return Through((*x.norms, module.name))
        return "zero" if module.name in self.silenced else "other"

    def op(self, name: str, args: Sequence[Value | Module], kwargs: Mapping[str, Any]) -> Value:
        return "zero" if name == "route" and args[1] == "zero" else "other"

    def add(self, a: Value, b: Value) -> Value:
        if "zero" in (a, b):
            return b if a == "zero" else a
        return "other"

    def mul(self, a: Value, b: Value) -> Value:
        return "zero" if "zero" in (a, b) else "other"

    def split(self, x: Value, module: Module, parts: int) -> Sequence[Value]:
        return [x] * parts


def last_module(model: Model) -> str:
    """The module whose output is the block's, if it is applied only there; else empty."""
    name = run(model.block, {"x": ""}, model.modules, _Made())["x"]
    calls = (e for statement in model.block for e in subexpressions(statement.value))
    uses = sum(isinstance(e, Call) and e.fn == name for e in calls)
    return name if uses == 1 else ""


class _Made:
    """`families.walk.Ops` over the names of modules: what put a value out, as it stands."""

    def module(self, module: Module, x: str) -> str:
        return module.name

    def op(self, name: str, args: Sequence[str | Module], kwargs: Mapping[str, Any]) -> str:
        return ""

    def add(self, a: str, b: str) -> str:
        return ""

    def mul(self, a: str, b: str) -> str:
        return ""

    def split(self, x: str, module: Module, parts: int) -> Sequence[str]:
        return [""] * parts
