"""Pass: primitives that change nothing go, so that untouched tensors are read and written as bytes."""

from __future__ import annotations

from dataclasses import replace

from growplan.ir.graph import Graph
from growplan.ir.primitives import (
    CopyLayer,
    CopyTensor,
    DuplicateRow,
    Primitive,
    RescaleNorm,
    Scale,
    SplitColumn,
)


def carry_untouched(graph: Graph) -> Graph:
    """Drop copies under other names, identity maps and factors of 1.

    before:   load w | copy_layer 0 -> 12 | store h.12.w
    after:    load w | store h.12.w          the executor copies the bytes
    """
    same: dict[str, str] = {}
    nodes = {}
    for id, node in graph.nodes.items():
        inputs = tuple(same.get(name, name) for name in node.inputs)
        if changes_nothing(node.op):
            same[id] = inputs[0]
        else:
            nodes[id] = node if inputs == node.inputs else replace(node, inputs=inputs)
    models = [{tensor: same.get(v, v) for tensor, v in model.items()} for model in graph.models]
    return Graph(nodes, models, graph.steps, graph.stores)


def changes_nothing(op: Primitive) -> bool:
    """Whether the result is its first input, bit for bit."""
    match op:
        case CopyLayer() | CopyTensor():
            return True
        case DuplicateRow(map=map) | SplitColumn(map=map):
            return map.is_identity
        case Scale(by=by) | RescaleNorm(by=by):
            return by.is_one
    return False
