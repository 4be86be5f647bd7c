"""Pass: two gathers of one dimension become one."""

from __future__ import annotations

from dataclasses import replace

from growplan.algebra import even_inverse
from growplan.ir.graph import Graph, Node, TensorType
from growplan.ir.primitives import (
    CopyLayer,
    CopyTensor,
    DuplicateRow,
    Mask,
    Primitive,
    RescaleNorm,
    Scale,
    SplitColumn,
    ZeroOut,
)

Gather = DuplicateRow | SplitColumn


def compose_maps(graph: Graph) -> Graph:
    """Compose gathers where the language of maps is closed and no fill stands between.

    before:   x | duplicate_row dim d A | … | duplicate_row dim d B
    after:    x | … | duplicate_row dim d (B after A)

    Likewise `split_column` with even shares, where all shares together are even again. Between
    the two may stand only what acts on other dimensions without drawing or averaging.
    """
    nodes = dict(graph.nodes)
    readers = _readers(graph)
    for id in graph.nodes:
        node = nodes[id]
        path = _path(nodes, readers, node)
        if path is None:
            continue
        *between, first = path
        composed = _composed(node.op, first.op)
        if composed is None:
            continue
        source, gone = first.inputs[0], first.id
        for middle in reversed(between):
            main, *rest = middle.inputs
            inputs = (source if main == gone else main, *rest)
            type_ = _resized(middle.type, composed.dim, nodes[source].type.shape[composed.dim])
            nodes[middle.id] = replace(middle, inputs=inputs, type=type_)
        main = source if node.inputs[0] == gone else node.inputs[0]
        nodes[id] = replace(node, op=composed, inputs=(main,))
        readers[source] += readers[gone] - 1
        del nodes[gone]
    return Graph(nodes, graph.models, graph.steps, graph.stores)


def _readers(graph: Graph) -> dict[str, int]:
    """How often each value is read, by values and by the models that stay."""
    counts = {id: len(users) for id, users in graph.users().items()}
    for model in graph.models:
        for value in model.values():
            counts[value] += 1
    return counts


def _path(nodes: dict[str, Node], readers: dict[str, int], node: Node) -> list[Node] | None:
    """The values between a gather and an earlier one of its dimension, which comes last."""
    if not isinstance(node.op, Gather):
        return None
    out: list[Node] = []
    at = nodes[node.inputs[0]]
    while readers[at.id] == 1 and at.inputs:
        out.append(at)
        if type(at.op) is type(node.op) and getattr(at.op, "dim", None) == node.op.dim:
            return out
        if not _passes_by(at.op, node.op.dim):
            return None
        at = nodes[at.inputs[0]]
    return None


def _passes_by(op: Primitive, dim: int) -> bool:
    """Whether `op` does the same whether dimension `dim` is gathered before or after it."""
    if isinstance(op, CopyLayer | CopyTensor | Scale | RescaleNorm):
        return True
    if isinstance(op, SplitColumn) and op.shares != "even":
        return False  # its shares are drawn per element
    return isinstance(op, DuplicateRow | SplitColumn | ZeroOut | Mask) and op.dim != dim


def _composed(second: Primitive, first: Primitive) -> Gather | None:
    """second o first as one primitive, or None where it has no name."""
    if isinstance(second, DuplicateRow) and isinstance(first, DuplicateRow):
        if "hole" in first.map.kinds:
            return None
        both = second.map.after(first.map)
        return None if both is None else replace(second, map=both)
    if isinstance(second, SplitColumn) and isinstance(first, SplitColumn):
        if second.shares != "even" or first.shares != "even" or "hole" in first.map.kinds:
            return None
        both = second.map.after(first.map)
        shares = even_inverse(second.map).after(even_inverse(first.map))
        return replace(second, map=both) if both is not None and even_inverse(both) == shares else None
    return None


def _resized(type_: TensorType, dim: int, n: int) -> TensorType:
    return TensorType((*type_.shape[:dim], n, *type_.shape[dim + 1 :]), type_.dtype)
