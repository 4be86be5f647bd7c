"""The op graph of a family: expressions over values, and the statements that assign them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """A value (`x`, `ids`, `q`)."""

    id: str


@dataclass(frozen=True)
class ModuleRef:
    """A module used as a value, e.g. the embedding in `tied(wte, ...)`."""

    module: str


@dataclass(frozen=True)
class Const:
    """A literal option of an operation."""

    value: bool | int | float | str


@dataclass(frozen=True)
class Call:
    """A module applied to values (`fn` is a module name) or an operation (`gelu`, `attention`)."""

    fn: str
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[str, Const], ...] = ()


@dataclass(frozen=True)
class Add:
    """A residual sum."""

    left: Expr
    right: Expr


@dataclass(frozen=True)
class Mul:
    """A gate: the elementwise product."""

    left: Expr
    right: Expr


Expr = Name | ModuleRef | Const | Call | Add | Mul


def names_read(expr: Expr) -> Iterator[str]:
    """The values an expression reads."""
    match expr:
        case Name(id):
            yield id
        case Add(left, right) | Mul(left, right):
            yield from names_read(left)
            yield from names_read(right)
        case Call(_, args, _):
            for arg in args:
                yield from names_read(arg)


@dataclass(frozen=True)
class Assign:
    """`a, b = expr`: several targets take the summands of a fused projection."""

    targets: tuple[str, ...]
    value: Expr
