"""Lowering of steps that add layers: copies, and blocks that are silenced."""

from __future__ import annotations

from growplan.algebra import Expansion, Run
from growplan.check.typed import TypedStep
from growplan.check.types import writers
from growplan.families.model import Param
from growplan.ir.graph import Graph, Node, Provenance, TensorLaw
from growplan.ir.primitives import CopyLayer, Primitive, ZeroOut
from growplan.ir.record import record


def lower_depth(graph: Graph, step: TypedStep) -> None:
    """The model after a depth step: every layer from the one that `step.layers` names."""
    before = graph.models[-1]
    silenced = set(writers(step.before))
    kept = {name: before[name] for name, param, _ in step.before.tensors() if not param.in_layer}
    kept |= {name: before[name] for name in step.before.extra_tensors if name in before}
    model: dict[str, str] = {}
    laws: list[TensorLaw] = []
    provenance: list[Provenance] = []
    for name, param, layer in step.after.tensors():
        if layer is None:
            model[name] = kept.pop(name)
            continue
        source = step.layers[layer]
        old_name = step.before.tensor_name(param, source.layer)
        silent = source.silent and param.module in silenced
        model[name] = _copied(graph, step, name, param, before[old_name], source.layer, layer, silent)
        if not silent:
            provenance.append(Provenance(name, old_name))
        laws.append(_depth_law(graph, model[name], name, old_name, param, silent))
    graph.models.append({**model, **kept})
    graph.steps.append(record(step, laws=tuple(laws), provenance=tuple(provenance)))


def _copied(
    graph: Graph, step: TypedStep, name: str, param: Param, value: str, source: int, layer: int, silent: bool
) -> str:
    type_ = graph.nodes[value].type
    ops: list[Primitive] = [CopyLayer(source, layer)] if source != layer else []
    if silent:
        ops.append(ZeroOut(param.row_dim, ((0, type_.shape[param.row_dim]),)))
    for count, op in enumerate(ops, 1):
        value = graph.add(Node(f"{name}@{step.index}.{count}", op, (value,), type_, step.index))
    return value


def _depth_law(graph: Graph, value: str, name: str, old_name: str, param: Param, silent: bool) -> TensorLaw:
    shape = graph.nodes[value].type.shape
    rows = shape[param.row_dim]
    e_out = Expansion(rows, (Run("zero", rows),)) if silent else Expansion.identity(rows)
    if param.cols is None:
        return TensorLaw(name, old_name, e_out, None, param.row_dim, None)
    cols = Expansion.identity(shape[param.col_dim])
    return TensorLaw(name, old_name, e_out, cols, param.row_dim, param.col_dim)
