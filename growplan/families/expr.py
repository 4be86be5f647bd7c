"""Axis and size expressions: parsed by `ast` with a whitelist of nodes, never evaluated by Python.

Axis expressions are sums of products (`heads*head_dim + 2`): `AxisExpr`. Size expressions are
exact arithmetic over axis sizes (`4*hidden`, `hidden // heads`): `evaluate_size`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache

from growplan.families.model import AxisExpr

MAX_LENGTH = 200


class ExpressionError(ValueError):
    """An expression outside the language; `start`, `end` are columns of its text."""

    def __init__(self, message: str, start: int = 0, end: int | None = None) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


@lru_cache(maxsize=1024)
def parse_axes(text: str) -> AxisExpr:
    """`heads*head_dim + heads*head_dim` as an `AxisExpr`; `ExpressionError` where it is none."""
    return AxisExpr(tuple(_terms(_parsed(text))))


def _terms(node: ast.expr) -> list[tuple[str | int, ...]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _terms(node.left) + _terms(node.right)
    return [tuple(_factors(node))]


def _factors(node: ast.expr) -> list[str | int]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _factors(node.left) + _factors(node.right)
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Constant) and type(node.value) is int and node.value > 0:
        return [node.value]
    raise _outside(node, "an axis expression is a sum of products of axes and positive integers")


@lru_cache(maxsize=1024)
def size_names(text: str) -> frozenset[str]:
    """The axes a size expression reads; `ExpressionError` where it cannot be read."""
    names: set[str] = set()
    _visit(_parsed(text), names)
    return frozenset(names)


_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)


def _visit(node: ast.expr, names: set[str]) -> None:
    if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
        _visit(node.left, names)
        _visit(node.right, names)
    elif isinstance(node, ast.Name):
        names.add(node.id)
    elif not (isinstance(node, ast.Constant) and type(node.value) is int):
        raise _outside(node, "a size is made of axes, integers and + - * / // %")


def evaluate_size(text: str, sizes: Mapping[str, int]) -> int | Fraction:
    """The exact value of a size expression; an `int` where it is whole.

    Raises `ExpressionError` for a division by zero or an axis without a size.
    """
    value = _value(_parsed(text), sizes)
    return int(value) if value.denominator == 1 else value


def _value(node: ast.expr, sizes: Mapping[str, int]) -> Fraction:
    if isinstance(node, ast.Name):
        if node.id not in sizes:
            raise _outside(node, f"`{node.id}` has no size")
        return Fraction(sizes[node.id])
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value)
    if not isinstance(node, ast.BinOp):
        raise _outside(node, "not a size")
    left, right = _value(node.left, sizes), _value(node.right, sizes)
    match node.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div() | ast.FloorDiv() | ast.Mod() if right == 0:
            raise _outside(node, "division by zero")
        case ast.Div():
            return left / right
        case ast.FloorDiv():
            return Fraction(left // right)
        case ast.Mod():
            return left % right
    raise _outside(node, "not a size")


@lru_cache(maxsize=1024)
def _parsed(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters")
    stripped = text.strip()
    lead = len(text) - len(text.lstrip())
    try:
        return ast.parse(stripped, mode="eval").body
    except SyntaxError as error:
        start = lead + max((error.offset or 1) - 1, 0)
        raise ExpressionError(error.msg or "cannot be read", start) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"cannot be read ({error})") from None


def _outside(node: ast.expr, message: str) -> ExpressionError:
    return ExpressionError(message, node.col_offset, node.end_col_offset)
