"""The primitives that widening makes of one tensor: rows first, then columns, every hole filled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from growplan.algebra import ONE, Expansion, Root, Run
from growplan.check.typed import ParamRewrite, TypedStep
from growplan.families.model import Param
from growplan.ir.graph import Graph, Node, TensorType
from growplan.ir.primitives import (
    AddNull,
    CopyTensor,
    DuplicateRow,
    Fresh,
    FromLeaf,
    Leaf,
    LnAverage,
    Mask,
    Primitive,
    Ranges,
    Resample,
    RescaleNorm,
    SplitColumn,
    ZeroOut,
    leaf_name,
)
from growplan.methods.base import Grid


@dataclass
class Chain:
    """The primitives of one tensor in one step, appended to the graph as they come."""

    graph: Graph
    tensor: str
    step: TypedStep
    param: Param
    value: str

    def __post_init__(self) -> None:
        self._type = self.graph.nodes[self.value].type
        self._count = 0

    @property
    def count(self) -> int:
        """How many primitives there are so far."""
        return self._count

    def copied(self, source: str) -> None:
        """The tensor that the chain begins with, under the name it will have."""
        if source != self.tensor:
            self._apply(CopyTensor(source, self.tensor))

    def rows(self, rewrite: ParamRewrite, norm: bool) -> None:
        """E_out on the row axis."""
        e = rewrite.made_rows or rewrite.rows
        if e.is_identity:
            return
        dim, uniform = self.param.row_dim, _uniform_scale(e) if norm else ONE
        hidden = e.positions("zero") if rewrite.masked == "hidden" and not norm else ()
        self._gathered(dim, e.map_kind("zero", "free") if hidden else e, rewrite.init, "rows", uniform)
        if hidden:
            self._apply(Mask(dim, hidden, "hidden", self.step.over))

    def columns(self, rewrite: ParamRewrite) -> None:
        """D and N on the column axis, from E_in."""
        e, dim, old = rewrite.cols, self.param.col_dim, self.value
        if e is None or e.is_identity:
            return
        if rewrite.made_cols is not None:
            self._gathered(dim, rewrite.made_cols, rewrite.init, "null")
            return
        self._apply(self._split(rewrite, _copies(e), dim), (), (dim, e.size))
        if rewrite.noise is not None and rewrite.has_noise:
            pairing, scale = rewrite.noise.pairing, rewrite.noise.scale
            self._apply(AddNull(dim, _copies(e), pairing, scale, self._key("noise")), (old,))
        self._fill(ZeroOut(dim, e.positions("mean")))
        if rewrite.null == "data":
            self._measured(dim, e.positions("zero"))
        else:
            self._fresh(dim, e.positions("zero"), rewrite.init, "null", old)
        free = e.positions("free")
        if rewrite.masked and free:
            self._fresh(dim, free, rewrite.init, "columns", old)
            self._apply(Mask(dim, free, rewrite.masked, self.step.over))
        else:
            self._fill(ZeroOut(dim, free))

    def _gathered(self, dim: int, e: Expansion, init: str, part: str, uniform: Root = ONE) -> None:
        """The slices that E names: copies, means, zeros, and fresh ones where it is free."""
        old, copies = self.value, _copies(e, ONE / uniform)
        if not copies.is_identity:
            self._apply(DuplicateRow(dim, copies), (), (dim, e.size))
        if not uniform.is_one:
            self._apply(RescaleNorm(uniform))
        for c, at in _mean_rows(e):
            self._apply(LnAverage(dim, at, c), (old,))
        self._fill(ZeroOut(dim, e.positions("zero")))
        self._fresh(dim, e.positions("free"), init, part, old)

    def _split(self, rewrite: ParamRewrite, copies: Expansion, dim: int) -> SplitColumn:
        """Shares among copies; even where there is nothing to tell apart."""
        shares, rows = rewrite.shares, _copies(rewrite.rows)
        if copies.most_copies < 2 or (shares == "own" and rows.most_copies < 2):
            return SplitColumn(dim, copies, "even")
        if shares == "own":
            return SplitColumn(dim, copies, shares, rows=rows)
        return SplitColumn(dim, copies, shares, self._key("shares") if shares == "uneven" else "")

    def grid(self, grid: Grid) -> Resample:
        """The rows of a table interpolated, and how."""
        dim = self.param.col_dim
        op = Resample(dim, grid.kept, grid.old, grid.new)
        self._apply(op, (), (dim, grid.kept + grid.new**2))
        return op

    def _key(self, part: str) -> str:
        return f"{self.step.key}/{self.tensor}/{part}"

    def _fresh(self, dim: int, at: Ranges, init: str, part: str, old: str) -> None:
        if at:
            self._apply(Fresh(dim, at, init, self._key(part)), (old,))

    def _measured(self, dim: int, at: Ranges) -> None:
        """Slices from a data leaf of their own."""
        if not at:
            return
        shape = list(self._type.shape)
        shape[dim] = sum(stop - start for start, stop in at)
        type_ = TensorType(tuple(shape), self._type.dtype)
        leaf = Leaf(leaf_name(self.step.id, self.tensor), type_.shape, type_.dtype)
        name = f"{self.tensor}@{self.step.index}.leaf"
        self._apply(FromLeaf(dim, at), (self.graph.add(Node(name, leaf, (), type_, self.step.index)),))

    def _fill(self, op: ZeroOut) -> None:
        if op.at:
            self._apply(op)

    def _apply(
        self, op: Primitive, extra: tuple[str, ...] = (), resize: tuple[int, int] | None = None
    ) -> None:
        """Append `op`; `extra` are inputs after the first, `resize` (dim, size) what it changes."""
        if resize is not None:
            shape = list(self._type.shape)
            shape[resize[0]] = resize[1]
            self._type = TensorType(tuple(shape), self._type.dtype)
        self._count += 1
        name = f"{self.tensor}@{self.step.index}.{self._count}"
        self.value = self.graph.add(Node(name, op, (self.value, *extra), self._type, self.step.index))


@lru_cache(maxsize=512)
def _copies(e: Expansion, by: Root = ONE) -> Expansion:
    """The copy rows of E times `by`; all others holes. One object for all layers: long maps compare fast."""
    scaled = e if by.is_one else e.scaled(by)
    return Expansion(e.old, tuple(r if r.kind == "copy" else Run("hole", r.count) for r in scaled.runs))


def _uniform_scale(e: Expansion) -> Root:
    """The one coefficient of all copy rows, or 1 where they differ."""
    return next(iter(e.scales)) if len(e.scales) == 1 else ONE


def _mean_rows(e: Expansion) -> list[tuple[Root, Ranges]]:
    """Ranges of mean rows, by coefficient."""
    out: dict[Root, list[tuple[int, int]]] = {}
    at = 0
    for run in e.runs:
        if run.kind == "mean":
            out.setdefault(run.c, []).append((at, at + run.count))
        at += run.count
    return [(c, tuple(ranges)) for c, ranges in out.items()]
