"""One walk over the op graph, for every meaning of it: types, tensors, costs.

An `Ops[T]` says what a module, an operation and a residual sum mean for values of type T;
`run` evaluates statements with it. The type checker and the float64 interpreter differ only
in their `Ops`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from growplan.families.model import Add, Assign, Call, Const, Expr, Module, ModuleRef, Mul, Name

T = TypeVar("T")


class Ops(Protocol[T]):
    """The meaning of an op graph over values of type T."""

    def module(self, module: Module, x: T) -> T: ...

    def op(self, name: str, args: Sequence[T | Module], kwargs: Mapping[str, Any]) -> T: ...

    def add(self, a: T, b: T) -> T: ...

    def mul(self, a: T, b: T) -> T: ...

    def split(self, x: T, module: Module, parts: int) -> Sequence[T]: ...


def run(
    statements: Sequence[Assign], env: dict[str, T], modules: Mapping[str, Module], ops: Ops[T]
) -> dict[str, T]:
    """Evaluate statements in order; returns `env` with every assigned value added."""
    env = dict(env)
    for statement in statements:
        value = _eval(statement.value, env, modules, ops)
        if len(statement.targets) == 1:
            env[statement.targets[0]] = value
            continue
        assert isinstance(statement.value, Call), "only a fused module has several targets"
        module = modules[statement.value.fn]
        parts = ops.split(value, module, len(statement.targets))
        env.update(zip(statement.targets, parts, strict=True))
    return env


def _eval(expr: Expr, env: Mapping[str, T], modules: Mapping[str, Module], ops: Ops[T]) -> T:
    match expr:
        case Name(id):
            return env[id]
        case Add(left, right):
            return ops.add(_eval(left, env, modules, ops), _eval(right, env, modules, ops))
        case Mul(left, right):
            return ops.mul(_eval(left, env, modules, ops), _eval(right, env, modules, ops))
        case Call(fn, args, kwargs) if fn in modules:
            return ops.module(modules[fn], _eval(args[0], env, modules, ops))
        case Call(fn, args, kwargs):
            values: list[T | Module] = [
                modules[a.module] if isinstance(a, ModuleRef) else _eval(a, env, modules, ops) for a in args
            ]
            return ops.op(fn, values, {key: const.value for key, const in kwargs})
        case ModuleRef() | Const():
            raise TypeError(f"{expr} is not a value")


def subexpressions(expr: Expr) -> Iterator[Expr]:
    """`expr` and everything inside it, outermost first."""
    yield expr
    match expr:
        case Add(left, right) | Mul(left, right):
            yield from subexpressions(left)
            yield from subexpressions(right)
        case Call(_, args, _):
            for arg in args:
                yield from subexpressions(arg)
        case _:
            pass
