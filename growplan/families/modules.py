"""Modules of a family, the tensors they store, and the axes of those tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from growplan.algebra import Expansion

# `bias`: adds one stored vector (BERT's decoder bias), nothing else; `patches`: a linear over the
# pixels of a patch, stored as a convolution; `parameter`: a tensor without a module around it
ModuleKind = Literal["linear", "embedding", "layernorm", "rmsnorm", "bias", "patches", "parameter"]
NORMS: tuple[ModuleKind, ...] = ("layernorm", "rmsnorm")


@dataclass(frozen=True)
class AxisExpr:
    """A sum of products of axis names and integers: `heads*head_dim + heads*head_dim`, `2`."""

    terms: tuple[tuple[str | int, ...], ...]

    def size(self, sizes: Mapping[str, int]) -> int:
        """The number of units under `sizes`."""
        return sum(_product(f if isinstance(f, int) else sizes[f] for f in term) for term in self.terms)

    def expansion(self, maps: Mapping[str, Expansion], sizes: Mapping[str, int]) -> Expansion:
        """E of the expression: E(a*b) = E(a) (x) E(b), E(a+b) = E(a) (+) E(b)."""
        total: Expansion | None = None
        for term in self.terms:
            part = self._term_expansion(term, maps, sizes)
            total = part if total is None else total + part
        assert total is not None
        return total

    @staticmethod
    def _term_expansion(
        term: tuple[str | int, ...], maps: Mapping[str, Expansion], sizes: Mapping[str, int]
    ) -> Expansion:
        out: Expansion | None = None
        for factor in term:
            if isinstance(factor, int):
                e = Expansion.identity(factor)
            else:
                e = maps.get(factor) or Expansion.identity(sizes[factor])
            out = e if out is None else out * e
        assert out is not None
        return out

    def split(self) -> tuple[AxisExpr, ...]:
        """The summands, one expression each (the parts of a fused projection)."""
        return tuple(AxisExpr((term,)) for term in self.terms)

    @property
    def axes(self) -> frozenset[str]:
        return frozenset(f for term in self.terms for f in term if isinstance(f, str))

    def __str__(self) -> str:
        return " + ".join("*".join(map(str, term)) for term in self.terms)


def _product(values: Iterator[int]) -> int:
    out = 1
    for value in values:
        out *= value
    return out


@dataclass(frozen=True)
class Param:
    """One tensor of a module. `rows` is the axis it writes, `cols` the axis it reads.

    Shapes on disk: linear out-in `[rows, cols]`, linear in-out `[cols, rows]`,
    embedding `[cols, rows]` (vocab x hidden), norms and biases `[rows]`; `stored` says it of any.
    """

    module: str
    leaf: Literal["weight", "bias"]
    rows: AxisExpr
    cols: AxisExpr | None
    row_dim: int
    in_layer: bool
    name: str  # on disk, without prefix; `{i}` where the layer goes, `{e}` where the expert goes
    ones: int = 0  # dims of one before the axes: 2 in a class token [1, 1, hidden]
    unfolded: bool = False  # one dim for each factor of `cols`: a convolution [hidden, channels, p, p]
    in_expert: bool = False  # one tensor for each expert
    expert: int | None = None  # whose it is, where the experts are told apart

    @property
    def col_dim(self) -> int:
        return 2 * self.ones + 1 - self.row_dim

    @cached_property
    def stored(self) -> tuple[AxisExpr, ...]:
        """The axis of every dimension on disk."""
        ones = (AxisExpr(((1,),)),) * self.ones
        if self.cols is None:
            return (*ones, self.rows)
        if self.unfolded:
            return (self.rows, *(AxisExpr(((factor,),)) for factor in self.cols.terms[0]))
        matrix = (self.rows, self.cols)
        return (*ones, *(matrix if self.row_dim == self.ones else matrix[::-1]))

    def of_expert(self, expert: int) -> Param:
        """The parameter of one expert."""
        return replace(self, name=self.name.replace("{e}", str(expert)), expert=expert)


@dataclass(frozen=True)
class Module:
    """A module of the family: its kind, axes, and storage facts."""

    name: str  # as written in the op graph: `h.attn.c_attn`
    kind: ModuleKind
    ins: AxisExpr | None  # None for norms and biases
    outs: AxisExpr
    bias: bool = False  # resolved against the config in a Model
    stored: Literal["out-in", "in-out"] = "out-in"
    eps: str | None = None  # config key of a norm's epsilon
    fixed_eps: float | None = None  # where no key holds it
    in_layer: bool = False
    in_expert: bool = False  # every expert has its own
    disk: str = ""  # name on disk, `{i}` where the layer goes (and `{e}` the expert), without the prefix
    bias_when: str | None = None  # config key that decides the bias
    weight_leaf: bool = True  # False: a bare parameter, stored under `disk` itself
    leaf_names: tuple[str, str] = ("weight", "bias")  # ("gamma", "beta") in old BERT checkpoints
    when: tuple[str, bool] | None = None  # (config key, truth): else the module is the identity
    ones: int = 0  # of a bare parameter: dims of one before its axes

    @property
    def is_norm(self) -> bool:
        return self.kind in NORMS

    @cached_property
    def params(self) -> tuple[Param, ...]:
        weight_leaf, bias_leaf = self.leaf_names
        bias = Param(self.name, "bias", self.outs, None, 0, self.in_layer, f"{self.disk}.{bias_leaf}")
        if self.kind == "bias":
            return (bias,)
        last = self.kind in ("embedding", "parameter") or self.stored == "in-out"
        row_dim = self.ones + (1 if last and self.ins is not None else 0)
        name = f"{self.disk}.{weight_leaf}" if self.weight_leaf else self.disk
        unfolded = self.kind == "patches"
        weight = Param(
            self.name, "weight", self.outs, self.ins, row_dim, self.in_layer, name, self.ones, unfolded
        )
        found = (weight, bias) if self.bias else (weight,)
        return tuple(replace(param, in_expert=True) for param in found) if self.in_expert else found
