"""How the leaves of a general operator begin: as the static steps that the checker typed for it.

    E, D   the dense matrices of the maps and of their left inverses, uneven where the method's are
    w      one-hot: each new layer is the old one that it begins as
    N, n   static tensor - E (sum over l of w_l W_l) D^T, subtracted in float64
    norms  static value - what the graph has of it: mostly nothing

So that at step 0 the operator makes the static steps' checkpoint, whatever they draw, divide, graft
or insert: products are taken as the kernels take them, so that only the last rounding lies between.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from growplan.algebra import Expansion, even_inverse, first_inverse
from growplan.backend.dtypes import torch_dtype
from growplan.backend.evaluate import Evaluation, ModelView, Read, with_leaves
from growplan.check.general import End, GeneralLayout
from growplan.check.typed import ParamRewrite, TypedStep
from growplan.ir.graph import Graph, Node
from growplan.ir.lower import lower_steps
from growplan.ir.lower_general import layer_map
from growplan.ir.primitives import Load
from growplan.learn.init import uniform


def begun(graph: Graph, step: TypedStep, read: Read, dtype: torch.dtype) -> dict[str, Tensor]:
    """The leaves of a learned step at first, of `dtype`: name -> values, on the CPU.

    `graph` is the plan's, `read` gives source tensors and the leaves of earlier steps.
    """
    start = _Start(graph, step, read)
    leaves: dict[str, Tensor] = {}
    for name, values in start.products():
        leaves[name] = values.to(dtype)
    for name, values in start.added(leaves):
        leaves[name] = values.to(dtype)
    return {spec.name: leaves[spec.name] for spec in step.leaves}


class _Start:
    """The static checkpoint of a step, and what its products give of it."""

    def __init__(self, graph: Graph, step: TypedStep, read: Read) -> None:
        assert step.operator is not None
        self.graph, self.step = graph, step
        self.layout = GeneralLayout(step.before, step.after, step.operator)
        self.layers = layer_map(step.start, step.after.depth)
        self.rewrites = {(r.module, r.leaf): r for s in step.start for r in s.rewrites}
        self.read, self.old = read, ModelView(graph, step.index - 1, read)
        static = static_graph(graph, step)
        self.static = ModelView(static, len(step.start), self._old_rows, rounded=True)

    def _old_rows(self, name: str, first: int, last: int) -> Tensor:
        """Rows of a tensor of the model before the step, in the dtype that it is stored in."""
        return self.old.get(name)[first:last].to(torch_dtype(self.old.dtype(name)))

    def products(self) -> Iterator[tuple[str, Tensor]]:
        """E, D and w: name -> float64 values."""
        id, layout = self.step.id, self.layout
        if layout.deeper:
            yield layout.depth_leaf(id), torch.eye(self.step.before.depth).double()[self.layers]
        for param in self.step.before.params():
            for end in layout.ends(param):
                rewrite, key = self.rewrites[param.module, param.leaf], f"{self.step.key}/{end.name}"
                matrix = _matrix(end, rewrite, key)
                for layer in range(self.step.after.depth):
                    yield layout.end_leaf(id, end, layer), matrix

    def added(self, leaves: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """What the static checkpoint has beyond what the graph makes of `leaves`, as these are stored."""
        values = self.graph.models[self.step.index]
        here = Evaluation(self.graph, with_leaves(self.read, leaves))
        for name, param, layer in self.step.after.tensors():
            leaf = self.layout.added_leaf(self.step.id, param, layer)
            if leaf:
                made = here.whole(self.graph.nodes[values[name]].inputs[0]).to(torch.float64)
                yield leaf, self.static.get(name).to(torch.float64) - made


def static_graph(graph: Graph, step: TypedStep) -> Graph:
    """The static steps that a learned one begins as, on the model before it, as a graph of their own."""
    out = Graph()
    values = graph.models[step.index - 1]
    out.models.append(
        {
            name: out.add(Node(f"{name}@0", Load(name), (), graph.nodes[value].type, 0))
            for name, value in values.items()
        }
    )
    lower_steps(out, step.start)
    return out


def _matrix(end: End, rewrite: ParamRewrite, key: str) -> Tensor:
    """The dense operator of one end, [new, old] units in float64: rows, or shares of columns."""
    if end.name.startswith("out/"):
        whole = dense(rewrite.made_rows or rewrite.rows)
    else:
        whole = dense(_inverse(rewrite))
        whole = _uneven(whole, key) if rewrite.shares == "uneven" else whole
    rows = whole[end.to : end.to + end.new * end.inner : end.inner]
    return rows[:, end.start : end.start + end.count * end.inner : end.inner]


def _inverse(rewrite: ParamRewrite) -> Expansion:
    """A left inverse of the columns' map: all to first copies, or in even shares."""
    assert rewrite.cols is not None
    if rewrite.made_cols is not None:
        return rewrite.made_cols
    return first_inverse(rewrite.cols) if rewrite.shares == "first" else even_inverse(rewrite.cols)


def _uneven(even: Tensor, key: str) -> Tensor:
    """Shares of a unit's copies drawn by `key`, with the same sum: equal ones would stay equal for ever."""
    drawn = 0.5 + uniform(key, len(even), 1)
    counts = (even != 0).sum(0)
    return even * drawn * counts / ((even != 0) * drawn).sum(0)


def dense(e: Expansion) -> Tensor:
    """A map as a matrix [new, old] in float64; rows that it leaves free are 0."""
    out = torch.zeros(e.size, e.old, dtype=torch.float64)
    at = 0
    for run in e.runs:
        here = torch.arange(at, at + run.count)
        if run.kind == "copy":
            out[here, torch.arange(run.start, run.start + run.count)] = float(run.c)
        elif run.kind == "mean":
            out[here] = float(run.c) / e.old
        at += run.count
    return out
