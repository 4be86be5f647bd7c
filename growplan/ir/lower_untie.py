"""Lowering of an implied `untie`: the head's tensors are copies of those that it read, under new names."""

from __future__ import annotations

from growplan.algebra import Expansion
from growplan.check.typed import TypedStep
from growplan.families.untie import head_sources
from growplan.ir.graph import Graph, Node, Provenance, TensorLaw
from growplan.ir.primitives import CopyTensor
from growplan.ir.record import record


def lower_untie(graph: Graph, step: TypedStep) -> None:
    """The model after the step: every tensor as it was, and the head's own."""
    model = dict(graph.models[-1])
    sources = head_sources(step.before, step.after)
    laws: list[TensorLaw] = []
    provenance: list[Provenance] = []
    for name, param, _ in step.after.tensors():
        if param.name not in sources:
            continue
        source = step.before.tensor_name(sources[param.name])
        type_ = graph.nodes[model[source]].type
        node = Node(f"{name}@{step.index}.1", CopyTensor(source, name), (model[source],), type_, step.index)
        model[name] = graph.add(node)
        same = [Expansion.identity(axis.size(step.after.sizes)) for axis in (param.rows, param.cols) if axis]
        cols, col_dim = (same[1], param.col_dim) if param.cols else (None, None)
        laws.append(TensorLaw(name, source, same[0], cols, param.row_dim, col_dim))
        provenance.append(Provenance(name, source))
    graph.models.append(model)
    graph.steps.append(record(step, laws=tuple(laws), provenance=tuple(provenance)))
